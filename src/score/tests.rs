//! The check values, every boundary, and what a role must not learn.

use std::sync::Arc;

use http::HeaderName;
use proptest::prelude::*;
use time::macros::datetime;
use time::{Duration, OffsetDateTime};

use super::*;
use crate::json::path::FieldPath;

const NOW: OffsetDateTime = datetime!(2026-11-22 10:00 UTC);

fn path(text: &str) -> InputPath {
    InputPath::new(FieldPath::parse(text).unwrap()).unwrap()
}

fn signal(text: &str, thousandths: u32) -> Signal {
    Signal { path: path(text), weight: Thousandths::new(thousandths) }
}

/// The rules of the check values: what holds by default, and custom fields.
fn rules() -> Rules {
    Rules {
        custom_fields: vec![
            signal("custom_fields.plan", 60_000),
            signal("custom_fields.vip", 30_000),
            signal("custom_fields.partner", 50_000),
        ],
        activities: ActivityRule::Count(path("activity_count")),
        ..Rules::default()
    }
}

fn score_by(rules: Rules, record: &str, elsewhere: Activities) -> Score {
    let plan = Arc::new(ScoringPlan::compile(rules).unwrap());
    let mut inputs = Inputs::at(NOW);
    inputs.see_record(&plan, record.as_bytes()).unwrap();
    Score::of(&plan, &inputs, elsewhere, NOW)
}

fn score(record: &str) -> Score {
    score_by(rules(), record, Activities::NONE)
}

fn days_ago(days: i64) -> String {
    headers::rfc_3339(NOW - Duration::days(days))
}

/// Qualified, 7 activities, 15 days, 5 of 7 fields, opened and clicked, custom 60 of 100.
fn warm() -> String {
    format!(
        r#"{{"id":17,"status":"qualified","activity_count":7,"created_at":"{}",
            "email":"a@example.com","phone":"+49","company_name":"Harbour","industry":"x",
            "annual_revenue":"100.50","budget":0,"title":null,
            "email_opened":true,"link_clicked":1,"form_submitted":false,
            "custom_fields":{{"plan":"gold","vip":"","other":7}}}}"#,
        days_ago(15)
    )
}

/// Unqualified, nothing else but 2 of 7 fields, 120 days.
fn cold() -> String {
    format!(
        r#"{{"status":"unqualified","created_at":"{}","email":"x","phone":"y"}}"#,
        days_ago(120)
    )
}

fn contributions(score: &Score) -> Vec<String> {
    score.components().iter().map(|component| component.contribution.to_string()).collect()
}

#[test]
fn the_check_values() {
    let warm = score(&warm());
    assert_eq!((warm.total(), warm.quality()), (72, Quality::Warm));
    assert_eq!(contributions(&warm), ["20", "14", "12", "14.28", "9", "3"]);
    assert_eq!(warm.recommendation(), "schedule a follow-up within 24 hours");
    let top = [ComponentName::Status, ComponentName::Completeness, ComponentName::RecentActivity];
    assert_eq!(warm.top_factors(), top);
    assert_eq!(warm.version(), "v2");
    assert_eq!(warm.calculated_at(), NOW);

    let cold = score(&cold());
    assert_eq!((cold.total(), cold.quality()), (11, Quality::Cold));
    assert_eq!(contributions(&cold), ["2.5", "0", "3", "5.71", "0", "0"]);
    let top = [ComponentName::Completeness, ComponentName::Age, ComponentName::Status];
    assert_eq!(cold.top_factors(), top);
}

#[test]
fn what_explanations_say() {
    let explain = |score: &Score| -> Vec<String> {
        score.components().iter().map(|component| score.explain(component).to_string()).collect()
    };
    assert_eq!(
        explain(&score(&warm())),
        [
            "status `qualified`",
            "7 activities in 30 days, by the record",
            "15 days old",
            "5 of 7 fields filled; missing `budget`, `title`",
            "2 of 3 signals: `email_opened`, `link_clicked`",
            "1 of 3 custom fields: `custom_fields.plan`",
        ]
    );
    assert_eq!(
        explain(&score("{}")),
        [
            "no status",
            "the record does not tell its activities",
            "no date of creation",
            "0 of 7 fields filled; missing `email`, `phone`, `company_name`, `industry`, `annual_revenue`, `budget`, `title`",
            "0 of 3 signals",
            "0 of 3 custom fields",
        ]
    );
    let none = Rules { tracked: vec![], engagement: vec![], status: None, ..Rules::default() };
    assert_eq!(
        explain(&score_by(none, r#"{"status":"new"}"#, Activities::NONE)),
        [
            "no status",
            "no activities are known",
            "no date of creation",
            "no field is tracked",
            "no signals are configured",
            "no custom fields are configured",
        ]
    );
}

/// One component of a record that has nothing else, in hundredths, and why.
#[track_caller]
fn check(name: ComponentName, record: &str, contribution: &str, why: &str) {
    let score = score(record);
    let component = &score.components()[name as usize];
    let found = (component.contribution.to_string(), score.explain(component).to_string());
    assert_eq!((found.0.as_str(), found.1.as_str()), (contribution, why), "{record}");
}

#[test]
fn statuses() {
    let status = |value: &str, contribution, why| {
        check(ComponentName::Status, &format!(r#"{{"status":{value}}}"#), contribution, why);
    };
    status("\"new\"", "7.5", "status `new`");
    status("\"contacted\"", "12.5", "status `contacted`");
    status("\"qualified\"", "20", "status `qualified`");
    status("\"unqualified\"", "2.5", "status `unqualified`");
    status("\"converted\"", "25", "status `converted`");
    status("\"lost\"", "0", "status `lost`");
    status("\" QualiFied \"", "20", "status `qualified`");
    status("\"\\u006eew\"", "7.5", "status `new`");
    status("\"Müşteri\"", "12.5", "a status without a factor of its own");
    status("7", "12.5", "a status without a factor of its own");
    status("true", "12.5", "a status without a factor of its own");
    status("null", "0", "no status");
    status("\"\"", "0", "no status");
    status("\" \"", "0", "no status");
    status("[\"new\"]", "0", "the status is no word");
    status("{\"name\":\"new\"}", "0", "the status is no word");
}

#[test]
fn words_of_other_crms() {
    let with = |record| {
        let alias = |word: &str, status: &str| (word.to_owned(), status.to_owned());
        let aliases = vec![
            alias("Dead", "lost"),
            alias("3", "qualified"),
            alias("true", "converted"),
            alias("New", "contacted"),
            alias("Nowhere", "not a status"),
        ];
        score_by(Rules { aliases, ..Rules::default() }, record, Activities::NONE).total()
    };
    assert_eq!(with(r#"{"status":"dead"}"#), 0);
    assert_eq!(with(r#"{"status":3}"#), 20);
    assert_eq!(with(r#"{"status":true}"#), 25);
    assert_eq!(with(r#"{"status":"new"}"#), 12);
    assert_eq!(with(r#"{"status":"nowhere"}"#), 12);
}

#[test]
fn ages() {
    let age = |value: &str, contribution, why: &str| {
        check(ComponentName::Age, &format!(r#"{{"created_at":{value}}}"#), contribution, why);
    };
    let days = |days: i64, contribution| {
        let why = format!("{days} day{} old", if days == 1 { "" } else { "s" });
        age(&format!("\"{}\"", days_ago(days)), contribution, &why);
    };
    for (number, contribution) in [
        (0, "15"),
        (1, "15"),
        (7, "15"),
        (8, "12"),
        (30, "12"),
        (31, "7.5"),
        (90, "7.5"),
        (91, "3"),
        (40_000, "3"),
    ] {
        days(number, contribution);
    }
    let moment = |moment: OffsetDateTime| format!("\"{}\"", headers::rfc_3339(moment));
    let second = Duration::SECOND;
    // A day counts when it is over.
    age(&moment(NOW - Duration::days(8) + second), "15", "7 days old");
    age(&moment(NOW - Duration::days(91) + second), "7.5", "90 days old");
    age(&moment(NOW - Duration::days(31) + second), "12", "30 days old");
    age(&moment(NOW + Duration::DAY), "15", "0 days old");
    age(&moment(NOW + Duration::DAY + second), "0", "the date of creation lies in the future");
    age("\"9999-12-31\"", "0", "the date of creation lies in the future");
    age("1793872800", "12", "17 days old");
}

#[test]
fn dates_that_are_none() {
    let age = |value: &str, why| {
        check(ComponentName::Age, &format!(r#"{{"created_at":{value}}}"#), "0", why);
    };
    age("null", "no date of creation");
    age("\"\"", "no date of creation");
    age("\"soon\"", "the date of creation cannot be read");
    age("\"01.11.2026\"", "the date of creation cannot be read");
    age("0", "the date of creation cannot be read");
    age("false", "the date of creation cannot be read");
    age("{}", "the date of creation cannot be read");
    age("[1793872800]", "the date of creation cannot be read");
}

#[test]
fn activity_counts() {
    let count = |value: &str, contribution, why| {
        let record = format!(r#"{{"activity_count":{value}}}"#);
        check(ComponentName::RecentActivity, &record, contribution, why);
    };
    count("0", "0", "0 activities in 30 days, by the record");
    count("1", "2", "1 activity in 30 days, by the record");
    count("\"9\"", "18", "9 activities in 30 days, by the record");
    count("10", "20", "10 activities in 30 days, by the record");
    count("11", "20", "11 activities in 30 days, by the record");
    count("1e99", "0", "the number of activities is no count");
    count("-3", "0", "the number of activities is no count");
    count("[1]", "0", "the number of activities is no count");
    count("null", "0", "the record does not tell its activities");
}

#[test]
fn activities_that_the_record_lists() {
    let moments = path("history").then(&path("at")).unwrap();
    assert_eq!(moments.path().as_str(), "history.at");
    assert!(path("$.history").then(&path("at")).is_none());
    let rules = Rules { activities: ActivityRule::Moments(moments), ..Rules::default() };
    let at = |days: i64| format!(r#"{{"at":"{}","text":"x"}}"#, days_ago(days));
    let list: Vec<String> = [0, 1, 29, 30, 31, 400, -1].map(at).into();
    let record = format!(r#"{{"history":[{},{{"at":"?"}},{{}},7,null]}}"#, list.join(","));
    let score = score_by(rules.clone(), &record, Activities { count: 9, ..Activities::NONE });
    let component = &score.components()[1];
    assert_eq!(component.contribution.to_string(), "8");
    assert_eq!(score.explain(component).to_string(), "4 activities in 30 days, by the record");
    let none = score_by(rules, "{}", Activities::NONE);
    let why = none.explain(&none.components()[1]).to_string();
    assert_eq!(why, "0 activities in 30 days, by the record");
}

#[test]
fn activities_count_for_thirty_days_to_the_second() {
    let moments = path("history").then(&path("at")).unwrap();
    let rules = Rules { activities: ActivityRule::Moments(moments), ..Rules::default() };
    let month = Duration::days(30);
    for (at, counts) in [
        (NOW - month - Duration::SECOND, false),
        (NOW - month, true),
        (NOW - month + Duration::SECOND, true),
        (NOW, true),
        (NOW + Duration::SECOND, false),
    ] {
        let record = format!(r#"{{"history":[{{"at":"{}"}}]}}"#, headers::rfc_3339(at));
        let score = score_by(rules.clone(), &record, Activities::NONE);
        let contribution = score.components()[1].contribution.to_string();
        assert_eq!(contribution, if counts { "2" } else { "0" }, "{at}");
    }
}

#[test]
fn no_total_is_above_a_hundred() {
    for (weights, total) in [
        ([98_000, 0, 0, 0, 0, 999], 98),
        ([98_000, 1_000, 0, 0, 0, 0], 99),
        ([98_000, 1_000, 0, 0, 0, 1_000], 100),
        ([98_000, 1_000, 0, 0, 0, 2_000], 100),
        ([100_000, 100_000, 0, 0, 0, 50_000], 100),
    ] {
        let record = r#"{"status":"converted","activity_count":10,
            "custom_fields":{"plan":1,"vip":1,"partner":1}}"#;
        let score = score_by(with_weights(weights), record, Activities::NONE);
        assert_eq!(score.total(), total, "{weights:?}");
    }
}

#[test]
fn activities_from_elsewhere() {
    let observed = ActivityRule::Observed {
        resource: "activity".to_owned(),
        lead: FieldPath::parse("lead").unwrap(),
        at: None,
    };
    let rules = Rules { activities: observed, ..Rules::default() };
    for (source, count, expect) in [
        (ActivitySource::Observed, 7, "7 activities in 30 days, observed"),
        (ActivitySource::Fetched, 1, "1 activity in 30 days, by the CRM"),
        (ActivitySource::None, 0, "no activities are known"),
    ] {
        let score = score_by(rules.clone(), "{}", Activities { count, source });
        assert_eq!(u32::from(score.total()), count * 2);
        assert_eq!(score.explain(&score.components()[1]).to_string(), expect);
    }
}

#[test]
fn money_as_a_string_is_money() {
    let filled = |record: &str| score(record).components()[3].factor.count();
    assert_eq!(filled(r#"{"budget":"0.00"}"#), 0);
    assert_eq!(filled(r#"{"budget":0.00}"#), 0);
    assert_eq!(filled(r#"{"budget":"0.01"}"#), 142);
    assert_eq!(filled(r#"{"budget":1e2}"#), 142);
    assert_eq!(filled(r#"{"title":"0.00"}"#), 142);
}

#[test]
fn engagement_is_at_most_one() {
    let of = |engagement: Vec<Signal>, record: &str| {
        score_by(Rules { engagement, ..Rules::default() }, record, Activities::NONE).total()
    };
    let all = r#"{"a":1,"b":1,"c":1}"#;
    assert_eq!(of(vec![signal("a", 300), signal("b", 300), signal("c", 400)], all), 15);
    assert_eq!(of(vec![signal("a", 900), signal("b", 900)], all), 15);
    let parts = |thousandths| {
        let rules = Rules { engagement: vec![signal("a", thousandths)], ..Rules::default() };
        score_by(rules, all, Activities::NONE).components()[4].contribution.to_string()
    };
    assert_eq!(parts(998), "14.97");
    assert_eq!([parts(1_000), parts(1_001)], ["15", "15"]);
    assert_eq!(of(vec![signal("a", 0)], all), 0);
    assert_eq!(of(Vec::new(), all), 0);
}

#[test]
fn custom_fields_count_to_a_hundred() {
    let custom = |record: &str| score(record).components()[5].contribution.to_string();
    assert_eq!(custom(r#"{"custom_fields":{"plan":"x"}}"#), "3");
    assert_eq!(custom(r#"{"custom_fields":{"plan":"x","vip":true}}"#), "4.5");
    assert_eq!(custom(r#"{"custom_fields":{"plan":"x","vip":true,"partner":{"a":1}}}"#), "5");
    let of = |thousandths| {
        let rules = Rules { custom_fields: vec![signal("a", thousandths)], ..Rules::default() };
        score_by(rules, r#"{"a":1}"#, Activities::NONE).components()[5].contribution.to_string()
    };
    assert_eq!([of(99_800), of(100_000), of(100_001)], ["4.99", "5", "5"]);
    assert_eq!(custom(r#"{"custom_fields":{"plan":{},"vip":[],"partner":0}}"#), "0");
    assert_eq!(custom(r#"{"custom_fields":[{"plan":0},{"plan":1}]}"#), "3");
    assert_eq!(custom(r#"{"custom_fields":"none"}"#), "0");
}

fn with_weights(weights: [u32; 6]) -> Rules {
    let mut rules = rules();
    for (name, weight) in ComponentName::ALL.into_iter().zip(weights) {
        rules.weights.set(name, Thousandths::new(weight));
    }
    rules
}

#[test]
fn weights_of_any_sum() {
    let total = |weights| score_by(with_weights(weights), &warm(), Activities::NONE).total();
    assert_eq!(total([0; 6]), 0);
    assert_eq!(total([100_000; 6]), 100);
    // 0.8 of 100, and nothing else.
    assert_eq!(total([100_000, 0, 0, 0, 0, 0]), 80);
    // 0.8 + 0.7 + 0.8 + 5/7 + 0.6 + 0.6 = 4.214..., of 10 each.
    assert_eq!(total([10_000; 6]), 42);
    assert_eq!(total([12_500, 0, 0, 0, 0, 0]), 10);
}

/// In doubles, 0.3 + 0.3 + 0.4 of 15 and thirds of 7 come out a hair below the whole number.
#[test]
fn no_sum_falls_below_the_whole_number_that_it_is() {
    let tenth = with_weights([0, 0, 0, 70_000, 0, 0]);
    for filled in 0..=7_u8 {
        let fields =
            ["email", "phone", "company_name", "industry", "annual_revenue", "budget", "title"];
        let members: Vec<String> =
            fields[..usize::from(filled)].iter().map(|name| format!(r#""{name}":1"#)).collect();
        let record = format!("{{{}}}", members.join(","));
        assert_eq!(score_by(tenth.clone(), &record, Activities::NONE).total(), filled * 10);
    }
    let perfect = format!(
        r#"{{"status":"converted","activity_count":10,"created_at":"{}","email":1,"phone":1,
            "company_name":1,"industry":1,"annual_revenue":1,"budget":1,"title":1,
            "email_opened":1,"link_clicked":1,"form_submitted":1,
            "custom_fields":{{"plan":1,"partner":1}}}}"#,
        days_ago(0)
    );
    assert_eq!(score(&perfect).total(), 100);
}

#[test]
fn records_of_any_shape() {
    for record in ["{}", "[]", "7", "null", r#""x""#, r#"[{"status":"converted"}]"#] {
        let expect = if record.starts_with("[{") { 25 } else { 0 };
        assert_eq!(score(record).total(), expect, "{record}");
    }
    let plan = ScoringPlan::compile(rules()).unwrap();
    for broken in ["", "{", r#"{"status":"new""#, r#"{"status":new}"#, "{} {}"] {
        assert!(Inputs::at(NOW).see_record(&plan, broken.as_bytes()).is_err(), "{broken}");
    }
}

#[test]
fn exact_paths_do_not_walk_through_lists() {
    let at = |status: &str, record: &str| {
        let rules = Rules { status: Some(path(status)), ..Rules::default() };
        score_by(rules, record, Activities::NONE).total()
    };
    let list = r#"{"state":[{"name":"lost"},{"name":"converted"}]}"#;
    let object = r#"{"state":{"name":"converted"}}"#;
    let escaped = r#"{"st\u0061te":{"n\u0061me":"converted"}}"#;
    // The first one that is filled counts.
    assert_eq!(at("state.name", list), 0);
    assert_eq!(at("$.state.name", list), 0);
    for record in [object, escaped] {
        assert_eq!(at("state.name", record), 25);
        assert_eq!(at("$.state.name", record), 25);
        assert_eq!(at("$['state']['name']", record), 25);
    }
    let late = r#"{"state":[{"name":""},[{"name":"converted"}]]}"#;
    assert_eq!(at("state.name", late), 25);
    assert_eq!(at("$.state.name", late), 0);
}

#[test]
fn paths_that_can_be_inputs() {
    for bad in ["$", "$..status", "$.a[0]", "$.a[*]", "$.a[?@.b]", "$['a','b']", "$.a[-1]"] {
        assert!(InputPath::new(FieldPath::parse(bad).unwrap()).is_none(), "{bad}");
    }
}

#[test]
fn every_input_has_one_slot() {
    let plan = ScoringPlan::compile(rules()).unwrap();
    let watched: Vec<&str> = plan.watched_paths().iter().map(FieldPath::as_str).collect();
    assert_eq!(watched.len(), 16);
    assert_eq!(&watched[..3], ["status", "created_at", "email"]);
    assert_eq!(watched[15], "activity_count");

    // A field may be tracked and a signal at once.
    let twice = Rules { custom_fields: vec![signal("email", 100_000)], ..rules() };
    let plan = Arc::new(ScoringPlan::compile(twice).unwrap());
    assert_eq!(plan.watched_paths().len(), 13);

    let many = |number: usize| Rules {
        custom_fields: (0..number).map(|at| signal(&format!("f{at}"), 1)).collect(),
        ..Rules::default()
    };
    // 2 + 7 + 3 others.
    assert!(ScoringPlan::compile(many(28)).is_ok());
    assert_eq!(ScoringPlan::compile(many(29)).unwrap_err(), TooManyInputs(41));
    assert_eq!(ScoringPlan::compile(many(900)).unwrap_err(), TooManyInputs(912));
}

#[test]
fn inputs_are_for_one_record_after_the_other() {
    let plan = Arc::new(ScoringPlan::compile(rules()).unwrap());
    let mut inputs = Inputs::at(NOW);
    let mut totals = Vec::new();
    for record in [warm(), cold(), warm()] {
        inputs.clear();
        inputs.see_record(&plan, record.as_bytes()).unwrap();
        totals.push(Score::of(&plan, &inputs, Activities::NONE, NOW).total());
    }
    assert_eq!(totals, [72, 11, 72]);
}

/// What a role sees that may not see the fields of `unseen`.
fn folded(score_rules: Rules, unseen: &[&str]) -> ComponentSet {
    let plan = ScoringPlan::compile(score_rules).unwrap();
    plan.folded(Visible::of(&plan, true, |path| !unseen.contains(&path.as_str())))
}

fn headers_of(rendering: &Rendering<'_>) -> Vec<(HeaderName, String)> {
    let mut headers = Vec::new();
    rendering.headers(&HeaderNames::default(), |name, value| {
        headers.push((name.clone(), value.to_str().unwrap().to_owned()));
    });
    headers
}

fn shown(headers: &[(HeaderName, String)]) -> String {
    headers.iter().fold(String::new(), |shown, (name, value)| format!("{shown}{name}: {value}\n"))
}

fn members_of(rendering: &Rendering<'_>) -> String {
    let mut out = b"{".to_vec();
    rendering.write_members(&mut out);
    out.push(b'}');
    let tree: serde_json::Value = serde_json::from_slice(&out).unwrap();
    serde_json::to_string_pretty(&tree).unwrap();
    String::from_utf8(out).unwrap()
}

fn member_of(rendering: &Rendering<'_>) -> String {
    let mut out = Vec::new();
    rendering.write_member(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn what_an_entitled_role_is_told() {
    let score = score(&warm());
    let rendering = Rendering::of(&score, Disclosure::Full, ComponentSet::NONE).unwrap();
    insta::assert_snapshot!(shown(&headers_of(&rendering)), @r"
    x-lead-score: 72
    x-lead-score-quality: WARM
    x-lead-score-recommendation: schedule a follow-up within 24 hours
    x-lead-score-factors: status=20,activity=14,age=12,completeness=14.28,engagement=9,custom_fields=3
    x-lead-score-version: v2
    x-lead-score-calculated-at: 2026-11-22T10:00:00Z
    ");
    assert_eq!(member_of(&rendering), r#"{"total":72,"quality":"WARM"}"#);
    insta::assert_snapshot!(members_of(&rendering), @r#"{"total_score":72,"quality":"WARM","recommendation":"schedule a follow-up within 24 hours","components":[{"name":"status","weight":25,"contribution":20,"explanation":"status `qualified`"},{"name":"recent_activity","weight":20,"contribution":14,"explanation":"7 activities in 30 days, by the record"},{"name":"age","weight":15,"contribution":12,"explanation":"15 days old"},{"name":"completeness","weight":20,"contribution":14.28,"explanation":"5 of 7 fields filled; missing `budget`, `title`"},{"name":"engagement","weight":15,"contribution":9,"explanation":"2 of 3 signals: `email_opened`, `link_clicked`"},{"name":"custom_fields","weight":5,"contribution":3,"explanation":"1 of 3 custom fields: `custom_fields.plan`"}],"top_factors":["status","completeness","recent_activity"],"calculated_at":"2026-11-22T10:00:00Z","score_version":"v2"}"#);
    let later = NOW + Duration::minutes(2);
    assert_eq!(rendering.age(later), "120");
    assert_eq!(rendering.age(NOW - Duration::DAY), "0");
}

#[test]
fn what_a_role_is_told_that_may_not_see_the_budget() {
    let folded = folded(rules(), &["budget", "status"]);
    let score = score(&warm());
    let rendering = Rendering::of(&score, Disclosure::Full, folded).unwrap();
    insta::assert_snapshot!(shown(&headers_of(&rendering)), @r"
    x-lead-score: 72
    x-lead-score-quality: WARM
    x-lead-score-recommendation: schedule a follow-up within 24 hours
    x-lead-score-factors: activity=14,age=12,engagement=9,custom_fields=3,other=34.28
    x-lead-score-version: v2
    x-lead-score-calculated-at: 2026-11-22T10:00:00Z
    ");
    let members = members_of(&rendering);
    for word in ["budget", "qualified", "completeness", "status", "5 of 7", "14.28"] {
        let spared = members.replace("other\",\"weight\":45,\"contribution\":34.28", "");
        assert!(!spared.contains(word), "{word}: {members}");
    }
    assert!(members.contains(r#""top_factors":["other","recent_activity","age"]"#), "{members}");
}

#[test]
fn the_value_of_an_unseen_field_changes_nothing() {
    let with = |budget: &str| warm().replace(r#""budget":0"#, &format!(r#""budget":{budget}"#));
    let folded = folded(rules(), &["budget"]);
    let told = |budget: &str| {
        let score = score(&with(budget));
        let rendering = Rendering::of(&score, Disclosure::Full, folded).unwrap();
        let mut list = ListHeader::new(5);
        list.push(Some(b"17"), &rendering);
        (headers_of(&rendering), members_of(&rendering), member_of(&rendering), format!("{list:?}"))
    };
    let first = told("1");
    for budget in ["250000.10", "-7", "\"12.50\"", "[1]", "{\"EUR\":7}", "true", "\"secret\""] {
        assert_eq!(told(budget), first, "{budget}");
    }
    assert!(!first.1.contains("budget") && !first.1.contains("completeness"));
    // The docs say honestly that a field which is not filled at all moves the total.
    assert_ne!(told("0").0, first.0);
}

#[test]
fn less_than_the_whole_score() {
    let score = score(&warm());
    let bucket = Rendering::of(&score, Disclosure::Bucket, ComponentSet::NONE).unwrap();
    insta::assert_snapshot!(shown(&headers_of(&bucket)), @r"
    x-lead-score-quality: WARM
    x-lead-score-recommendation: schedule a follow-up within 24 hours
    x-lead-score-version: v2
    x-lead-score-calculated-at: 2026-11-22T10:00:00Z
    ");
    assert_eq!(member_of(&bucket), r#"{"quality":"WARM"}"#);
    insta::assert_snapshot!(members_of(&bucket), @r#"{"quality":"WARM","recommendation":"schedule a follow-up within 24 hours","calculated_at":"2026-11-22T10:00:00Z","score_version":"v2"}"#);
    assert_eq!(bucket.lines().count() + bucket.top_factors().len(), 0);
    assert!(Rendering::of(&score, Disclosure::Withhold, ComponentSet::NONE).is_none());
    let all = Rendering::of(&score, Disclosure::Full, ComponentSet::ALL).unwrap();
    let lines: Vec<_> = all.lines().map(|line| (line.name, line.weight.to_string())).collect();
    assert_eq!(lines, [(LineName::Other, "100".to_owned())]);
}

#[test]
fn what_each_component_rests_on() {
    let expect = [
        ("status", ComponentName::Status),
        ("activity_count", ComponentName::RecentActivity),
        ("created_at", ComponentName::Age),
        ("phone", ComponentName::Completeness),
        ("link_clicked", ComponentName::Engagement),
        ("custom_fields.vip", ComponentName::CustomFields),
    ];
    for (unseen, name) in expect {
        assert_eq!(folded(rules(), &[unseen]), ComponentSet::NONE.with(name), "{unseen}");
    }
    let elsewhere = ActivityRule::Observed {
        resource: "activity".to_owned(),
        lead: FieldPath::parse("lead").unwrap(),
        at: None,
    };
    let plan = ScoringPlan::compile(Rules { activities: elsewhere, ..rules() }).unwrap();
    let unseen = plan.folded(Visible::of(&plan, false, |_| true));
    assert_eq!(unseen, ComponentSet::NONE.with(ComponentName::RecentActivity));
    assert_eq!(plan.folded(Visible::ALL), ComponentSet::NONE);
    assert_eq!(plan.folded(Visible::NONE), ComponentSet::ALL);
}

#[test]
fn lists() {
    let (warm, cold) = (score(&warm()), score(&cold()));
    let full = |score| Rendering::of(score, Disclosure::Full, ComponentSet::NONE).unwrap();
    let list = |limit: usize, ids: &[Option<&str>]| {
        let mut header = ListHeader::new(limit);
        for (at, id) in ids.iter().enumerate() {
            let score = if at % 2 == 0 { &warm } else { &cold };
            header.push(id.map(str::as_bytes), &full(score));
        }
        let mut found = Vec::new();
        header.headers(&HeaderNames::default(), |name, value| {
            found.push((name.clone(), value.to_str().unwrap().to_owned()));
        });
        shown(&found)
    };
    assert_eq!(list(50, &[]), "");
    assert_eq!(list(50, &[Some("17"), Some("18")]), "x-lead-scores: 17=72;WARM, 18=11;COLD\n");
    assert_eq!(
        list(1, &[Some("17"), Some("18")]),
        "x-lead-scores: 17=72;WARM\nx-lead-scores-truncated: true\n"
    );
    assert_eq!(list(0, &[Some("17")]), "x-lead-scores-truncated: true\n");
    // Nothing in an id can end a header, or an entry of it.
    let hostile = [r#""a;b, c=1\r\nSet-Cookie: x""#, r#""é\u0000""#, "1e5", "\"\"", "null", "[1]"];
    insta::assert_snapshot!(list(50, &hostile.map(Some)), @r"
    x-lead-scores: a%3Bb%2C%20c%3D1%0D%0ASet-Cookie%3A%20x=72;WARM, %C3%A9%00=11;COLD, 1e5=72;WARM
    x-lead-scores-truncated: true
    ");
    let long = format!("\"{}\"", "x".repeat(65));
    assert_eq!(list(50, &[Some(&long), None]), "x-lead-scores-truncated: true\n");
    let ids: Vec<String> = (0..5000).map(|id| id.to_string()).collect();
    let ids: Vec<Option<&str>> = ids.iter().map(|id| Some(id.as_str())).collect();
    let text = list(5000, &ids);
    assert!(text.len() < 4200 && text.contains("truncated"), "{}", text.len());
    let bucket = Rendering::of(&warm, Disclosure::Bucket, ComponentSet::NONE).unwrap();
    let mut header = ListHeader::new(5);
    header.push(Some(b"17"), &bucket);
    header.headers(&HeaderNames::default(), |_, value| assert_eq!(value, "17=WARM"));
}

#[test]
fn names_of_headers() {
    let mut names = HeaderNames::default();
    assert!(names.rename(ScoreHeader::Total, HeaderName::from_static("x-heat")));
    assert!(names.rename(ScoreHeader::Total, HeaderName::from_static("x-heat")));
    assert!(!names.rename(ScoreHeader::Quality, HeaderName::from_static("x-heat")));
    assert_eq!(names.of(ScoreHeader::Total), "x-heat");
    for (_, name, header) in ScoreHeader::ALL {
        if header != ScoreHeader::Total {
            assert_eq!(names.of(header), name);
        }
    }
    assert_eq!(names.all().count(), 9);
}

#[test]
fn what_is_kept_comes_back() {
    let score = score(&warm());
    let kept = score.keep();
    let back = Score::recall(&kept).unwrap();
    assert_eq!(back.keep(), kept);
    let told = |score| {
        let rendering = Rendering::of(score, Disclosure::Full, ComponentSet::NONE).unwrap();
        (headers_of(&rendering), members_of(&rendering))
    };
    assert_eq!(told(&back), told(&score));

    let mut swapped = kept.clone();
    swapped.components.swap(0, 1);
    assert!(Score::recall(&swapped).is_none());
    assert!(Score::recall(&Kept { total: 101, ..kept }).is_none());
}

/// Rules change while scores are kept: what a component rested on then is what counts.
#[test]
fn a_kept_score_folds_by_what_it_rested_on() {
    let kept = score(&warm()).keep();
    let folded = kept.folded(false, |path| path.as_str() != "budget");
    assert_eq!(folded, ComponentSet::NONE.with(ComponentName::Completeness));
    let mut unreadable = kept;
    unreadable.components[0].rests_on = vec!["[".to_owned()];
    unreadable.components[1].rests_elsewhere = true;
    let expect = ComponentSet::NONE.with(ComponentName::Status);
    assert_eq!(unreadable.folded(true, |_| true), expect);
    assert_eq!(unreadable.folded(false, |_| true), expect.with(ComponentName::RecentActivity));
}

fn json_value() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".*".prop_map(Value::from),
        Just(Value::from("qualified")),
        Just(Value::from("2026-11-01")),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[a-z]{1,3}|plan|vip", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

/// The formula once more, over a tree and in doubles.
fn oracle(record: &serde_json::Value) -> (f64, bool) {
    use serde_json::Value;
    let filled = |name: &str| match &record[name] {
        Value::Null => false,
        Value::Bool(value) => *value,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
    };
    let spelled_money = |name: &str| record[name].as_str().is_some();
    let unsure = spelled_money("annual_revenue") || spelled_money("budget");
    let fields =
        ["email", "phone", "company_name", "industry", "annual_revenue", "budget", "title"];
    let complete = fields.iter().filter(|name| filled(name)).count();
    let signals = [("email_opened", 0.3), ("link_clicked", 0.3), ("form_submitted", 0.4)];
    let engaged: f64 =
        signals.iter().filter(|(name, _)| filled(name)).map(|(_, worth)| worth).sum();
    #[expect(clippy::cast_precision_loss, reason = "at most seven")]
    let sum = complete as f64 / 7.0 * 20.0 + engaged * 15.0;
    (sum, unsure)
}

proptest! {
    #[test]
    fn any_record_has_a_score_that_its_components_add_up_to(
        members in proptest::collection::btree_map(
            "status|created_at|email|phone|company_name|industry|annual_revenue|budget|title|email_opened|link_clicked|form_submitted|custom_fields|activity_count",
            json_value(),
            0..14,
        )
    ) {
        let record = serde_json::Value::Object(members.into_iter().collect());
        let score = score(&record.to_string());
        let hundredths = |range: std::ops::Range<usize>| -> u32 {
            score.components()[range].iter().map(|one| one.contribution.count()).sum()
        };
        // Each contribution is cut by less than a hundredth.
        let sum = hundredths(0..6);
        let total = u32::from(score.total());
        prop_assert!(total == sum / 100 || total == (sum + 6) / 100, "{total} {sum}");
        for component in score.components() {
            prop_assert!(component.factor <= Thousandths::ONE);
            prop_assert!(component.contribution.count() * 10 <= component.weight.count());
        }
        let (expect, unsure) = oracle(&record);
        let found = f64::from(hundredths(3..5)) / 100.0;
        prop_assert!(unsure || (expect - found).abs() < 0.021, "{expect} {found} {record}");
        let rendering = Rendering::of(&score, Disclosure::Full, ComponentSet::NONE).unwrap();
        members_of(&rendering);
        prop_assert_eq!(headers_of(&rendering).len(), 6);
        prop_assert_eq!(Score::recall(&score.keep()).unwrap().keep(), score.keep());
    }
}
