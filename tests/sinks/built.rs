//! From a configuration file to sinks.

use fieldgate::config;
use fieldgate::event::{Delivered, DeliveryFailure, sink};

use crate::harness::{failed, message};
use crate::receiver::{Answer, Receiver, closed_port};

#[tokio::test]
async fn a_file_becomes_sinks_that_deliver() {
    let receiver = Receiver::always(Answer::status(200, "")).await;
    let folder = tempfile::tempdir().unwrap();
    for name in ["policies", "data"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    let write = |name: &str, content: &str| {
        std::fs::write(folder.path().join(name), content).unwrap();
    };
    write("idp.pem", "-----BEGIN PUBLIC KEY-----\n");
    write("whsec", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n");
    write(
        "fieldgate.yaml",
        &format!(
            "upstream: http://127.0.0.1:8081\n\
             identity:\n  - jwt: {{ algorithm: RS256, key: idp.pem, audience: crm }}\n\
             data_dir: data\n\
             events:\n  sinks:\n\
             \x20   - webhook: {{ name: open, role: sales, url: \"http://{0}/\", secrets: [whsec], allow: [127.0.0.1] }}\n\
             \x20   - webhook: {{ name: closed, role: sales, url: \"http://{0}/\", secrets: [whsec] }}\n\
             \x20   - nats: {{ name: bus, role: audit, servers: [\"nats://127.0.0.1:{1}\"], stream: CRM }}\n\
             \x20   - file: {{ name: trail, role: audit, path: events.jsonl }}\n\
             \x20   - stdout: {{ name: console, role: audit }}\n",
            receiver.address,
            closed_port().await,
        ),
    );
    let loaded = config::load(&folder.path().join("fieldgate.yaml"), &|_| None).unwrap();
    assert!(loaded.warnings.is_empty(), "{:?}", loaded.warnings);
    let sinks = sink::build(loaded.settings.events.unwrap()).unwrap();
    let names: Vec<(&str, &str)> = sinks.iter().map(|sink| (sink.name(), sink.role())).collect();
    assert_eq!(
        names,
        [
            ("open", "sales"),
            ("closed", "sales"),
            ("bus", "audit"),
            ("trail", "audit"),
            ("console", "audit"),
        ]
    );
    let expected = [
        Delivered::Accepted,
        failed(DeliveryFailure::AddressRefused),
        failed(DeliveryFailure::Connect),
        Delivered::Accepted,
    ];
    for (sink, expected) in sinks.iter().zip(expected) {
        assert_eq!(sink.deliver(&message(1), 1).await, expected, "{}", sink.name());
    }
    let lines = std::fs::read_to_string(folder.path().join("data/events.jsonl")).unwrap();
    assert_eq!(lines.lines().count(), 1);
}
