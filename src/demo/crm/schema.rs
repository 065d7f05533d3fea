//! The five collections and their fields, in the order in which records show them.
//!
//! Knows no roles: that a field is sensitive is of no concern to this CRM.

/// One collection.
#[derive(Debug)]
pub(super) struct Schema {
    /// The name in paths.
    pub(super) collection: &'static str,
    /// What one record is called in messages.
    pub(super) singular: &'static str,
    /// The field whose value no two records may share.
    pub(super) unique: Option<&'static str>,
    /// All fields.
    pub(super) fields: &'static [Field],
}

/// One field of a record.
#[derive(Debug)]
pub(super) struct Field {
    /// The member name.
    pub(super) name: &'static str,
    /// What it holds.
    pub(super) kind: Kind,
    /// Who writes it.
    pub(super) write: Write,
}

/// What a field holds, `null` aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string.
    Text,
    /// A string that looks like an e-mail address.
    Email,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A number without a fraction.
    Integer,
    /// A number.
    Decimal,
    /// `true` or `false`
    Boolean,
    /// `YYYY-MM-DD`
    Date,
    /// RFC 3339.
    Moment,
    /// An object of any shape.
    Object,
    /// An array of anything.
    List,
}

/// Who writes a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Write {
    /// The CRM; what a client sends is ignored.
    Server,
    /// A client, who must.
    Required,
    /// A client, who may.
    Optional,
    /// A client, who may; a new record has this word otherwise.
    Preset(&'static str),
}

impl Schema {
    /// The schema of a collection, for tests that need no table.
    #[cfg(test)]
    pub(super) fn of(collection: &str) -> Option<&'static Self> {
        SCHEMAS.iter().find(|schema| schema.collection == collection)
    }

    /// The field of that name.
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }
}

impl Kind {
    /// Whether filters compare it as a number.
    pub(super) fn is_numeric(self) -> bool {
        matches!(self, Self::Integer | Self::Decimal)
    }

    /// Whether `?search=` looks at it.
    pub(super) fn is_searched(self) -> bool {
        matches!(self, Self::Text | Self::Email)
    }

    /// Whether filters may hop into it.
    pub(super) fn is_nested(self) -> bool {
        matches!(self, Self::Object | Self::List)
    }
}

const fn server(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, write: Write::Server }
}

const fn required(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, write: Write::Required }
}

const fn optional(name: &'static str, kind: Kind) -> Field {
    Field { name, kind, write: Write::Optional }
}

const fn preset(name: &'static str, word: &'static str, words: &'static [&'static str]) -> Field {
    Field { name, kind: Kind::Choice(words), write: Write::Preset(word) }
}

/// The stages of a deal.
pub(super) const STAGES: &[&str] =
    &["prospecting", "qualification", "proposal", "negotiation", "won", "lost"];

const STATUSES: &[&str] = &["new", "contacted", "qualified", "unqualified", "converted", "lost"];

const ACTIVITY_TYPES: &[&str] = &["email", "call", "meeting", "note", "task"];

/// Every collection.
pub(super) static SCHEMAS: [Schema; 5] = [
    Schema { collection: "leads", singular: "lead", unique: Some("email"), fields: LEAD },
    Schema { collection: "contacts", singular: "contact", unique: None, fields: CONTACT },
    Schema { collection: "deals", singular: "deal", unique: None, fields: DEAL },
    Schema { collection: "accounts", singular: "account", unique: None, fields: ACCOUNT },
    Schema { collection: "activities", singular: "activity", unique: None, fields: ACTIVITY },
];

const LEAD: &[Field] = &[
    server("id", Kind::Integer),
    optional("external_id", Kind::Integer),
    optional("first_name", Kind::Text),
    required("last_name", Kind::Text),
    optional("email", Kind::Email),
    optional("phone", Kind::Text),
    optional("company_name", Kind::Text),
    optional("title", Kind::Text),
    optional("industry", Kind::Text),
    preset("status", "new", STATUSES),
    optional("source", Kind::Text),
    optional("ssn", Kind::Text),
    optional("annual_revenue", Kind::Decimal),
    optional("budget", Kind::Decimal),
    optional("internal_notes", Kind::Text),
    optional("score_hint", Kind::Integer),
    optional("owner", Kind::Object),
    optional("emails", Kind::List),
    optional("address", Kind::Object),
    optional("custom_fields", Kind::Object),
    optional("tags", Kind::List),
    optional("engagement", Kind::Object),
    optional("consent", Kind::Object),
    server("created_at", Kind::Moment),
    server("updated_at", Kind::Moment),
    optional("last_contacted_at", Kind::Moment),
];

const CONTACT: &[Field] = &[
    server("id", Kind::Integer),
    optional("first_name", Kind::Text),
    required("last_name", Kind::Text),
    optional("email", Kind::Email),
    optional("secondary_emails", Kind::List),
    optional("phone", Kind::Text),
    optional("title", Kind::Text),
    optional("date_of_birth", Kind::Date),
    optional("iban", Kind::Text),
    optional("do_not_call", Kind::Boolean),
    optional("account", Kind::Object),
    optional("owner", Kind::Object),
    optional("address", Kind::Object),
    optional("custom_fields", Kind::Object),
    optional("internal_notes", Kind::Text),
    server("created_at", Kind::Moment),
    server("updated_at", Kind::Moment),
];

const DEAL: &[Field] = &[
    server("id", Kind::Integer),
    required("name", Kind::Text),
    optional("amount", Kind::Decimal),
    optional("currency", Kind::Text),
    preset("stage", "prospecting", STAGES),
    optional("probability", Kind::Integer),
    optional("expected_close_date", Kind::Date),
    optional("margin", Kind::Decimal),
    optional("contact", Kind::Object),
    optional("lead", Kind::Integer),
    optional("account", Kind::Object),
    optional("owner", Kind::Object),
    optional("discount_reason", Kind::Text),
    optional("lost_reason", Kind::Text),
    optional("line_items", Kind::List),
    server("created_at", Kind::Moment),
    server("updated_at", Kind::Moment),
];

const ACCOUNT: &[Field] = &[
    server("id", Kind::Integer),
    required("name", Kind::Text),
    optional("vat_number", Kind::Text),
    optional("website", Kind::Text),
    optional("industry", Kind::Text),
    optional("billing", Kind::Object),
    optional("annual_revenue", Kind::Decimal),
    optional("employees", Kind::Integer),
    optional("parent", Kind::Object),
    optional("contacts", Kind::List),
    optional("owner", Kind::Object),
    server("created_at", Kind::Moment),
    server("updated_at", Kind::Moment),
];

const ACTIVITY: &[Field] = &[
    server("id", Kind::Integer),
    preset("type", "note", ACTIVITY_TYPES),
    optional("lead", Kind::Integer),
    required("subject", Kind::Text),
    optional("body", Kind::Text),
    optional("at", Kind::Moment),
    optional("participants", Kind::List),
    optional("attachments", Kind::List),
    server("created_at", Kind::Moment),
    server("updated_at", Kind::Moment),
];
