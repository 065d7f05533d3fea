//! Salesforce: `q=` with SOQL, read word by word.
//!
//! A question may be about the resource itself, about its relations in sub-selects, and about nothing
//! else: what `FROM` names must be the resource or a relation of it.

use super::expression::{Quotes, Token, tokens};
use super::names::is_name;
use super::pairs::Pair;
use super::{Asked, Path};
use crate::policy::plan::folded;

/// Words that stand between fields.
const WORDS: [&str; 34] = [
    "and",
    "or",
    "not",
    "like",
    "in",
    "includes",
    "excludes",
    "null",
    "true",
    "false",
    "asc",
    "desc",
    "nulls",
    "first",
    "last",
    "limit",
    "offset",
    "all",
    "rows",
    "for",
    "view",
    "reference",
    "update",
    "tracking",
    "viewstat",
    "using",
    "scope",
    "security_enforced",
    "user_mode",
    "system_mode",
    "everything",
    "mine",
    "delegated",
    "my_territory",
];

/// Dates that have names; some take a number, as in `LAST_N_DAYS:30`.
const DATES: [&str; 36] = [
    "yesterday",
    "today",
    "tomorrow",
    "last_week",
    "this_week",
    "next_week",
    "last_month",
    "this_month",
    "next_month",
    "last_90_days",
    "next_90_days",
    "last_n_days",
    "next_n_days",
    "n_days_ago",
    "last_n_weeks",
    "next_n_weeks",
    "n_weeks_ago",
    "last_n_months",
    "next_n_months",
    "n_months_ago",
    "this_quarter",
    "last_quarter",
    "next_quarter",
    "last_n_quarters",
    "next_n_quarters",
    "n_quarters_ago",
    "this_year",
    "last_year",
    "next_year",
    "last_n_years",
    "next_n_years",
    "n_years_ago",
    "this_fiscal_quarter",
    "last_fiscal_quarter",
    "this_fiscal_year",
    "last_fiscal_year",
];

/// Functions whose results depend on their fields.
const FUNCTIONS: [&str; 26] = [
    "count",
    "count_distinct",
    "sum",
    "avg",
    "min",
    "max",
    "calendar_month",
    "calendar_quarter",
    "calendar_year",
    "day_in_month",
    "day_in_week",
    "day_in_year",
    "day_only",
    "fiscal_month",
    "fiscal_quarter",
    "fiscal_year",
    "hour_in_day",
    "week_in_month",
    "week_in_year",
    "format",
    "tolabel",
    "converttimezone",
    "convertcurrency",
    "distance",
    "geolocation",
    "grouping",
];

pub(super) fn read(pair: &Pair, resource: &str) -> Vec<Asked> {
    if !pair.name.eq_ignore_ascii_case("q") {
        return super::plain::read(pair);
    }
    let Some(tokens) = tokens(&pair.value, Quotes::Escaped) else { return vec![Asked::Unread] };
    let mut select = Select { tokens: &tokens, at: 0, asked: Vec::new(), depth: 0 };
    let whole = select.statement(Some(resource));
    if whole.is_none() || select.at != tokens.len() {
        return vec![Asked::Unread];
    }
    select.asked
}

/// Where a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clause {
    Fields,
    From,
    Rest,
}

struct Select<'t> {
    tokens: &'t [Token],
    at: usize,
    asked: Vec<Asked>,
    depth: usize,
}

impl Select<'_> {
    fn word(&self, ahead: usize) -> Option<String> {
        match self.tokens.get(self.at + ahead)? {
            Token::Name(name) => Some(name.to_ascii_lowercase()),
            Token::Literal | Token::Symbol(_) => None,
        }
    }

    fn is_symbol(&self, ahead: usize, symbol: char) -> bool {
        self.tokens.get(self.at + ahead) == Some(&Token::Symbol(symbol))
    }

    /// One statement, up to its end or the bracket that closes it. `resource` is set for the
    /// outermost one; the others ask for a relation, which `FROM` names.
    fn statement(&mut self, resource: Option<&str>) -> Option<()> {
        if self.word(0)? != "select" || self.depth > 8 {
            return None;
        }
        self.at += 1;
        let start = self.asked.len();
        let mut clause = Clause::Fields;
        let mut open = 0_usize;
        let mut objects: Vec<String> = Vec::new();
        // What statements in brackets ask for, by where it stands; it has its own objects.
        let mut nested: Vec<std::ops::Range<usize>> = Vec::new();
        while let Some(token) = self.tokens.get(self.at) {
            match token {
                Token::Symbol('(') if self.word(1).as_deref() == Some("select") => {
                    self.at += 1;
                    self.depth += 1;
                    // In `WHERE` it names an object, not a relation; both must be declared.
                    let from = self.asked.len();
                    self.statement(None)?;
                    nested.push(from..self.asked.len());
                    self.depth -= 1;
                    self.is_symbol(0, ')').then_some(())?;
                    self.at += 1;
                }
                Token::Symbol('(') => {
                    open += 1;
                    self.at += 1;
                }
                Token::Symbol(')') if open == 0 => break,
                Token::Symbol(')') => {
                    open -= 1;
                    self.at += 1;
                }
                Token::Literal
                | Token::Symbol(',' | '=' | '<' | '>' | '!' | '-' | '+' | ':' | '*') => {
                    self.at += 1;
                }
                Token::Symbol(_) => return None,
                Token::Name(name) => {
                    let name = name.clone();
                    self.name(&name, &mut clause, &mut objects)?;
                }
            }
        }
        let object = objects.first()?;
        let prefix: Path = match resource {
            Some(resource) => {
                let is_own = folded(object.trim_end_matches("__c")) == folded(resource);
                is_own.then_some(())?;
                Path::new()
            }
            None => vec![object.clone()],
        };
        if resource.is_none() {
            // A relation that nobody declared leads to records that nobody can judge.
            self.asked.push(Asked::Related(object.clone()));
        }
        // Names may be written with the object or its alias before them.
        for (at, asked) in (start..).zip(self.asked.get_mut(start..)?) {
            let (Asked::Compared(path) | Asked::Shown(path)) = asked else { continue };
            let is_own = !nested.iter().any(|range| range.contains(&at));
            let is_object =
                |name: &String| objects.iter().any(|known| folded(known) == folded(name));
            if is_own && path.len() > 1 && path.first().is_some_and(is_object) {
                path.remove(0);
            }
            if !prefix.is_empty() {
                path.splice(0..0, prefix.iter().cloned());
            }
        }
        Some(())
    }

    fn name(&mut self, name: &str, clause: &mut Clause, objects: &mut Vec<String>) -> Option<()> {
        let word = name.to_ascii_lowercase();
        let calls = self.is_symbol(1, '(');
        self.at += 1;
        match (word.as_str(), *clause) {
            ("from", Clause::Fields) => *clause = Clause::From,
            ("where" | "with" | "having" | "group" | "order", Clause::From | Clause::Rest) => {
                *clause = Clause::Rest;
                let takes_by = ["group", "order"].contains(&word.as_str());
                if takes_by {
                    (self.word(0)? == "by").then_some(())?;
                    self.at += 1;
                    if ["rollup", "cube"].contains(&self.word(0).unwrap_or_default().as_str())
                        && self.is_symbol(1, '(')
                    {
                        self.at += 1;
                    }
                }
            }
            ("limit" | "offset" | "for" | "update" | "using", Clause::From) => {
                *clause = Clause::Rest;
            }
            // Object, alias and what else stands behind a comma there.
            (_, Clause::From) => {
                if word != "as" {
                    is_name(name).then_some(())?;
                    // A second object is a relation by another name; it is not followed.
                    (objects.len() < 2 && !self.is_symbol(0, ',')).then_some(())?;
                    objects.push(name.to_owned());
                }
            }
            // Every field of some kind: the answer is filtered, and nothing is compared.
            ("fields", Clause::Fields) if calls => {
                self.at += 3;
                self.asked.push(Asked::Harmless);
            }
            ("typeof", _) => return None,
            (other, Clause::Rest) if WORDS.contains(&other) || DATES.contains(&other) => {}
            (_, _) if calls => {
                FUNCTIONS.contains(&word.as_str()).then_some(())?;
                // What a function makes of a field has no name that a policy knows.
                self.arguments()?;
            }
            (_, Clause::Fields) => {
                self.asked.push(Asked::Shown(path(name)?));
                // An alias would show the field under another name.
                if let Some(Token::Name(next)) = self.tokens.get(self.at)
                    && !next.eq_ignore_ascii_case("from")
                {
                    return None;
                }
            }
            (_, Clause::Rest) => self.asked.push(Asked::Compared(path(name)?)),
        }
        Some(())
    }

    /// The arguments of a function, and the alias behind it.
    fn arguments(&mut self) -> Option<()> {
        let mut open = 0_usize;
        loop {
            match self.tokens.get(self.at)? {
                Token::Symbol('(') => open += 1,
                Token::Symbol(')') => open -= 1,
                Token::Symbol(',' | '-') | Token::Literal => {}
                Token::Symbol(_) => return None,
                Token::Name(name) => {
                    let is_function = self.is_symbol(1, '(');
                    if is_function {
                        let word = name.to_ascii_lowercase();
                        FUNCTIONS.contains(&word.as_str()).then_some(())?;
                    } else {
                        self.asked.push(Asked::Compared(path(name)?));
                    }
                }
            }
            self.at += 1;
            if open == 0 {
                return Some(());
            }
        }
    }
}

fn path(name: &str) -> Option<Path> {
    let path: Path = name.split('.').map(ToOwned::to_owned).collect();
    path.iter().all(|part| is_name(part)).then_some(path)
}

#[cfg(test)]
mod tests {
    use super::super::tests::check;
    use crate::policy::query::Dialect::Salesforce;

    #[test]
    fn statements() {
        for fine in [
            "q=SELECT Id, Status, Email FROM Lead WHERE Status = 'ssn' ORDER BY Created_At DESC NULLS LAST LIMIT 5 OFFSET 2",
            "q=SELECT+Id+FROM+Lead+WHERE+Created_At+>+LAST_N_DAYS:30+AND+Status+LIKE+'a%25'",
            "q=SELECT l.Id FROM Lead l WHERE l.Status IN ('a','b')",
            "q=SELECT COUNT() FROM Lead",
            "q=SELECT Status, COUNT(Id) n FROM Lead GROUP BY Status HAVING COUNT(Id) > 1",
            "q=SELECT Id, (SELECT Name FROM Account) FROM Lead",
            "q=SELECT FIELDS(ALL) FROM Lead LIMIT 200",
            "q=SELECT Id, Account.Name FROM Lead WHERE NOT (Status = null OR Status = 'it\\'s')",
        ] {
            check(Salesforce, fine, true);
        }
        for asked in [
            "q=SELECT Id FROM Lead WHERE Ssn LIKE '9%25'",
            "q=select id from lead where SSN = '9'",
            "Q=SELECT Id FROM Lead WHERE Ssn = '9'",
            "q=SELECT Id FROM Lead WHERE Status = 'a' OR (Status = 'b' AND Ssn > '5')",
            "q=SELECT Id FROM Lead l WHERE l.Ssn = '9'",
            "q=SELECT Id FROM Lead WHERE Lead.Ssn = '9'",
            "q=SELECT Id FROM Lead ORDER BY Ssn",
            "q=SELECT Id FROM Lead ORDER BY Status, Ssn DESC",
            "q=SELECT Ssn FROM Lead",
            "q=SELECT MAX(Ssn) FROM Lead",
            "q=SELECT MAX(Email) m FROM Lead",
            "q=SELECT Email address FROM Lead",
            "q=SELECT COUNT(Id) FROM Lead GROUP BY Ssn",
            "q=SELECT COUNT(Id) FROM Lead GROUP BY ROLLUP(Ssn)",
            "q=SELECT Status FROM Lead GROUP BY Status HAVING MIN(Ssn) > '5'",
            "q=SELECT Id FROM Lead WHERE Account.Vat_Number = '1'",
            "q=SELECT Id, (SELECT Name FROM Account WHERE Vat_Number = '1') FROM Lead",
            "q=SELECT Id FROM Lead WHERE Id IN (SELECT Lead_Id FROM Secret WHERE X = '1')",
            "q=SELECT Id FROM Other",
            "q=SELECT Id FROM Lead, Lead.Account a",
            "q=SELECT TYPEOF Owner WHEN User THEN Ssn END FROM Lead",
            "q=FIND {9} IN ALL FIELDS",
            "q=SELECT Id FROM Lead WHERE Unknown_Function(Ssn) = 1",
            "q=SELECT Id FROM Lead WHERE Status = 'open",
            "q=SELECT Id FROM Lead WHERE Status = \"x\"",
            "q=SELECT Id FROM Lead)",
            "q=SELECT Id",
            "q=",
            "ssn=9",
        ] {
            check(Salesforce, asked, false);
        }
    }
}
