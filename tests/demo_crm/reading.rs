//! Lists and details.

use fieldgate::demo::crm::{Crm, Value};
use http::StatusCode;

use crate::harness::{Running, lead_email};

#[tokio::test]
async fn a_list_has_the_envelope_of_django_rest() {
    let crm = Running::seeded().await;
    let answer = crm.get("/api/v1/leads/?page=2&page_size=25&status__in=new,lost,contacted,qualified,unqualified,converted").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("server"), "demo-crm");
    let all = "status__in=new%2Clost%2Ccontacted%2Cqualified%2Cunqualified%2Cconverted";
    let start = format!(
        "{{\"count\":60,\"next\":\"http://crm.example:8081/api/v1/leads/?page=3&page_size=25&{all}\",\
         \"previous\":\"http://crm.example:8081/api/v1/leads/?page_size=25&{all}\",\
         \"results\":[{{\"id\":26,\"external_id\":9007199254741018,\"first_name\":"
    );
    assert!(answer.body.starts_with(&start), "{}", answer.body);
    assert!(answer.body.ends_with("}]}"));
}

#[tokio::test]
async fn every_collection_is_served() {
    let crm = Running::seeded().await;
    let counts =
        [("leads", 60), ("contacts", 40), ("deals", 40), ("accounts", 20), ("activities", 40)];
    for (collection, count) in counts {
        let list = crm.get(&format!("/api/v1/{collection}/?page_size=1000")).await;
        assert_eq!(list.member("count"), count.to_string());
        let Some(Value::List(records)) = list.json().get("results").cloned() else { panic!() };
        assert_eq!(records, crm.crm.records(collection));
        let detail = crm.get(&format!("/api/v1/{collection}/7/")).await;
        assert_eq!(detail.body, crm.crm.record(collection, 7).unwrap().to_string());
    }
}

#[tokio::test]
async fn awkward_numbers_are_served_digit_by_digit() {
    let crm = Running::seeded().await;
    assert!(crm.get("/api/v1/leads/1/").await.body.contains("\"external_id\":9007199254740993,"));
    let lead = crm.get("/api/v1/leads/42/").await.body;
    assert!(lead.contains("\"rate\":1.10,"), "{lead}");
    assert!(lead.contains("\"lifetime_estimate\":1e400}"), "{lead}");
}

#[tokio::test]
async fn five_thousand_leads_fit_on_one_page() {
    let crm = Running::start(Crm::with_leads(5_000)).await;
    let answer = crm.get("/api/v1/leads/?page_size=10000").await;
    assert_eq!(answer.member("count"), "5000");
    assert!((4_500_000..6_500_000).contains(&answer.body.len()), "{} bytes", answer.body.len());
    assert_eq!(crm.get("/api/v1/deals/").await.member("count"), "0");
}

#[tokio::test]
async fn lists_are_filtered_searched_and_ordered() {
    let crm = Running::seeded().await;
    let email = lead_email(&crm, 7);
    let (start, _) = email.split_at(6);
    assert_eq!(crm.ids(&format!("/api/v1/leads/?email={email}")).await, [7]);
    assert!(crm.ids(&format!("/api/v1/leads/?email__startswith={start}")).await.contains(&7));
    assert_eq!(crm.ids(&format!("/api/v1/leads/?search={email}")).await, [7]);
    assert_eq!(
        crm.ids("/api/v1/leads/?annual_revenue__gt=180000&ordering=-annual_revenue&page_size=2")
            .await,
        [60, 59]
    );
    assert_eq!(crm.ids("/api/v1/leads/?id__in=3,1&ordering=-id&nonsense=4").await, [3, 1]);
    assert_eq!(crm.ids("/api/v1/leads/?owner__isnull=true").await, [4, 14, 24, 34, 44, 54]);
    let owner = crm.crm.record("leads", 7).unwrap();
    let owner = owner.get("owner").unwrap().get("email").unwrap().as_text().unwrap().to_owned();
    let of_owner = crm.ids(&format!("/api/v1/leads/?owner__email={owner}")).await;
    assert!(of_owner.contains(&7) && of_owner.len() < 10, "{of_owner:?}");
}

#[tokio::test]
async fn a_page_that_does_not_exist_is_404() {
    let crm = Running::seeded().await;
    for page in ["0", "4", "abc"] {
        let answer = crm.get(&format!("/api/v1/leads/?page={page}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND);
        assert_eq!(answer.body, r#"{"detail":"Invalid page."}"#);
    }
}
