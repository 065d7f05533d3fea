//! `send_notification`: a channel of the configuration, or the feed of the console.
//!
//! `recipient` is the name of a channel; whoever is none is told in the feed.

use std::time::SystemTime;

use http::{HeaderMap, Method};
use serde_json::json;

use super::feed::{Feed, Note};
use super::post::{Letter, Post};
use super::{DeedFault, failed, not_configured};
use crate::config::{Channel, ChannelKind, HttpUrl};
use crate::workflow::action::{ActionContext, ActionFailure, Performed, RenderedAction};

/// Longest message, in characters; what is longer is cut.
const LONGEST: usize = 4000;

/// Tells people.
pub(super) struct Notify {
    channels: Vec<Ready>,
    feed: Option<Feed>,
}

struct Ready {
    name: String,
    kind: ChannelKind,
    url: HttpUrl,
    post: Post,
}

/// What is told.
#[derive(Debug)]
pub(super) struct Telling<'a> {
    pub(super) recipient: &'a str,
    pub(super) message: &'a str,
    pub(super) kind: &'a str,
    pub(super) link: Option<&'a str>,
}

impl Notify {
    pub(super) fn new(channels: Vec<Channel>, feed: Option<Feed>) -> Result<Self, DeedFault> {
        let ready = channels.into_iter().map(|channel| {
            let Channel { name, kind, url, reach, secrets } = channel;
            let post = Post::new(reach, &secrets, url.is_https)
                .map_err(|cause| DeedFault { part: format!("channels.{name}"), cause })?;
            Ok(Ready { name, kind, url, post })
        });
        Ok(Self { channels: ready.collect::<Result<_, _>>()?, feed })
    }

    pub(super) async fn perform(
        &self,
        action: &RenderedAction,
        context: &ActionContext,
    ) -> Performed {
        let link = action.text("link");
        if link.is_some_and(|link| HttpUrl::parse(link).is_none()) {
            return failed(ActionFailure::Template, "`link` comes out as no address");
        }
        let telling = Telling {
            recipient: action.text("recipient").unwrap_or_default(),
            message: action.text("message").unwrap_or_default(),
            kind: action.text("notification_type").unwrap_or("info"),
            link,
        };
        self.tell(&telling, context).await
    }

    /// Tells a channel, or somebody in the feed.
    pub(super) async fn tell(&self, telling: &Telling<'_>, context: &ActionContext) -> Performed {
        let channel = self.channels.iter().find(|channel| channel.name == telling.recipient);
        if let Some(channel) = channel {
            let letter = Letter {
                url: &channel.url,
                method: Method::POST,
                headers: HeaderMap::new(),
                body: body(channel.kind, telling, context).to_string().into(),
                media_type: Some("application/json"),
                id: &context.idempotency_key,
                now: SystemTime::from(context.now),
            };
            return channel.post.send(letter).await;
        }
        let Some(feed) = &self.feed else {
            return not_configured("channels");
        };
        feed.add(Note {
            recipient: telling.recipient.to_owned(),
            message: cut(telling.message),
            kind: telling.kind.to_owned(),
            link: telling.link.map(ToOwned::to_owned),
            workflow: context.workflow.clone(),
            run: context.run.to_string(),
            key: context.idempotency_key.clone(),
            time: context.now,
        });
        Performed::Completed { result: json!({ "in": "feed" }) }
    }
}

fn cut(message: &str) -> String {
    message.chars().take(LONGEST).collect()
}

/// What a channel is sent. Pure.
fn body(kind: ChannelKind, telling: &Telling<'_>, context: &ActionContext) -> serde_json::Value {
    let message = cut(telling.message);
    match kind {
        ChannelKind::Slack => {
            // What is filled in is text: no mention of everybody, no link under another name.
            let mut text = escaped_for_slack(&message);
            if let Some(link) = telling.link {
                text.push('\n');
                text.push_str(&escaped_for_slack(link));
            }
            json!({ "text": text, "unfurl_links": false })
        }
        ChannelKind::Teams => {
            let text = json!({
                "type": "TextBlock",
                "text": escaped_for_teams(&message),
                "wrap": true,
            });
            let mut card = json!({
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "body": [text],
            });
            if let Some(link) = telling.link
                && let Some(card) = card.as_object_mut()
            {
                let action = json!({ "type": "Action.OpenUrl", "title": "Open", "url": link });
                card.insert("actions".to_owned(), json!([action]));
            }
            let card = json!({
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": card,
            });
            json!({ "type": "message", "attachments": [card] })
        }
        ChannelKind::Webhook => json!({
            "recipient": telling.recipient,
            "message": message,
            "notification_type": telling.kind,
            "link": telling.link,
            "workflow": context.workflow,
            "run": context.run.to_string(),
            "correlation_id": context.correlation_id,
        }),
    }
}

fn escaped_for_slack(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Text blocks of a card read some Markdown.
fn escaped_for_teams(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '\\' | '`' | '*' | '_' | '[' | ']' | '(' | ')' | '<' | '>' | '#') {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::tests::context;
    use super::*;

    fn telling<'a>(message: &'a str, link: Option<&'a str>) -> Telling<'a> {
        Telling { recipient: "sales", message, kind: "info", link }
    }

    #[track_caller]
    fn check(kind: ChannelKind, message: &str, link: Option<&str>, expect: &serde_json::Value) {
        assert_eq!(body(kind, &telling(message, link), &context()), *expect);
    }

    #[test]
    fn slack() {
        check(
            ChannelKind::Slack,
            "<!channel> A & <https://evil.example|B>",
            Some("https://crm.example/?a=1&b=2"),
            &json!({
                "text": "&lt;!channel&gt; A &amp; &lt;https://evil.example|B&gt;\nhttps://crm.example/?a=1&amp;b=2",
                "unfurl_links": false,
            }),
        );
    }

    #[test]
    fn teams() {
        let seen = body(
            ChannelKind::Teams,
            &telling("a [b](https://evil.example) *c*", Some("https://crm.example/7")),
            &context(),
        );
        let card = &seen["attachments"][0]["content"];
        assert_eq!(card["body"][0]["text"], r"a \[b\]\(https://evil.example\) \*c\*");
        assert_eq!(card["actions"][0]["url"], "https://crm.example/7");
        let seen = body(ChannelKind::Teams, &telling("a", None), &context());
        assert!(seen["attachments"][0]["content"].get("actions").is_none());
    }

    #[test]
    fn a_plain_webhook() {
        check(
            ChannelKind::Webhook,
            "hi",
            None,
            &json!({
                "recipient": "sales", "message": "hi", "notification_type": "info", "link": null,
                "workflow": "greet", "run": "00000000-0000-0000-0000-000000000001",
                "correlation_id": "c-1",
            }),
        );
    }

    #[test]
    fn long_messages_are_cut() {
        let long = "é".repeat(LONGEST + 1);
        let seen = body(ChannelKind::Webhook, &telling(&long, None), &context());
        assert_eq!(seen["message"].as_str().unwrap().chars().count(), LONGEST);
    }

    #[tokio::test]
    async fn whoever_is_no_channel_is_told_in_the_feed_once() {
        let feed = Feed::new(10, context().now);
        let notify = Notify::new(Vec::new(), Some(feed.clone())).unwrap();
        for _ in 0..2 {
            let told = notify.tell(&telling("hi", None), &context()).await;
            assert!(matches!(told, Performed::Completed { .. }), "{told:?}");
        }
        assert_eq!(feed.after(None).len(), 1);
        let nowhere = Notify::new(Vec::new(), None).unwrap();
        let told = nowhere.tell(&telling("hi", None), &context()).await;
        assert!(
            matches!(told, Performed::Failed { reason: ActionFailure::NotConfigured, .. }),
            "{told:?}"
        );
    }
}
