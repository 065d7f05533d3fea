//! `send_notification`: channels over HTTP.

use fieldgate::config::{Actions, Channel, ChannelKind, HttpUrl};
use fieldgate::workflow::action::{ActionFailure, ActionKind};
use serde_json::{Value, json};

use super::receiver::{Answer, Receiver};
use super::webhooks::nearby;
use super::{assert_done, assert_failed, deeds, perform};

fn channel(name: &str, kind: ChannelKind, receiver: &Receiver) -> Channel {
    let secrets = match kind {
        ChannelKind::Webhook => vec![vec![7; 32].into()],
        ChannelKind::Slack | ChannelKind::Teams => Vec::new(),
    };
    let url = HttpUrl::parse(&format!("http://{}/T0/hunter2", receiver.address)).unwrap();
    Channel { name: name.to_owned(), kind, url, reach: nearby(), secrets }
}

#[tokio::test]
async fn each_channel_gets_what_it_understands() {
    let receiver = Receiver::always(Answer::status(200, "")).await;
    let channels = vec![
        channel("sales", ChannelKind::Slack, &receiver),
        channel("board", ChannelKind::Teams, &receiver),
        channel("pager", ChannelKind::Webhook, &receiver),
    ];
    let deeds = deeds(Actions { channels, ..Actions::default() });
    let tell = async |recipient: &str| {
        let payload = format!(
            r#"{{"recipient":"{recipient}","message":"Deal <42> won","link":"https://crm.example/deals/42"}}"#
        );
        perform(&deeds, ActionKind::SendNotification, &payload).await
    };
    for recipient in ["sales", "board", "pager"] {
        assert_done(&tell(recipient).await);
    }
    let seen = receiver.seen();
    let bodies: Vec<Value> =
        seen.iter().map(|seen| serde_json::from_slice(&seen.body).unwrap()).collect();
    assert_eq!(bodies[0]["text"], "Deal &lt;42&gt; won\nhttps://crm.example/deals/42");
    let card = &bodies[1]["attachments"][0]["content"];
    assert_eq!(card["type"], "AdaptiveCard");
    assert_eq!(card["body"][0]["text"], r"Deal \<42\> won");
    assert_eq!(bodies[2]["recipient"], "pager");
    let signed: Vec<bool> =
        seen.iter().map(|seen| seen.headers.contains_key("webhook-signature")).collect();
    assert_eq!(signed, [false, false, true]);

    // Nobody of this name, and no feed.
    assert_failed(&tell("nobody").await, (ActionFailure::NotConfigured, false));
    assert_eq!(receiver.seen().len(), 3);
}

#[tokio::test]
async fn a_refusing_channel_shows_nothing_of_its_address() {
    let receiver = Receiver::always(Answer::status(404, "")).await;
    let channels = vec![channel("sales", ChannelKind::Slack, &receiver)];
    let deeds = deeds(Actions { channels, ..Actions::default() });
    let payload = r#"{"recipient":"sales","message":"m"}"#;
    let performed = perform(&deeds, ActionKind::SendNotification, payload).await;
    let error = assert_failed(&performed, (ActionFailure::Status, false));
    assert_eq!(error, "the receiver answered 404");
    assert!(!format!("{deeds:?}").contains("hunter2"));
    assert_eq!(json!(error).to_string().matches("hunter2").count(), 0);
}
