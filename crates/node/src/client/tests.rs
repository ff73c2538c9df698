//! A server of a later release and the node of an earlier one.

use std::time::Duration;

use fornada_core::attempt::Host;
use fornada_core::id::TaskId;
use fornada_core::quantity::Resources;
use tokio::net::UnixListener;
use tokio::time::timeout;

use super::*;

/// Takes a connection that asks for `version`.
async fn accept(listener: &UnixListener, version: u32) -> UnixStream {
    let accepted = timeout(Duration::from_secs(20), listener.accept()).await.expect("a connection in time");
    let (mut stream, _) = accepted.unwrap();
    let hello = Request::Hello { version, endpoint_url: "http://server".into() };
    assert_eq!(protocol::read(&mut stream).await.unwrap(), Some(hello));
    stream
}

#[tokio::test]
async fn an_older_node_is_spoken_to_in_its_version_and_the_next_one_in_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let listener = UnixListener::bind(dir.path().join("node.sock")).unwrap();
    let (seen, mut observations) = mpsc::channel(1);
    let (_orders, receiver) = mpsc::channel(1);
    let link = Link {
        dir: dir.path().to_owned(),
        endpoint_url: "http://server".into(),
        orders: receiver,
        overflow: Arc::default(),
        observations: seen,
        is_leaving: false,
        version_max: VERSION + 1,
        version: VERSION + 1,
    };
    let server = tokio::spawn(link.stay_connected());

    for _ in 0..2 {
        let mut older = accept(&listener, VERSION + 1).await;
        protocol::write(&mut older, &Response::Refused { version: VERSION }).await.unwrap();
        drop(older);
        let mut older = accept(&listener, VERSION).await;
        let host = Host {
            instance_id: "i-00000000000000001".into(),
            incarnation: TaskId(1),
            capacity: Resources::default(),
            architecture: None,
        };
        let connected = Observation::Connected(host, Vec::new());
        protocol::write(&mut older, &Response::Observed(vec![connected.clone()])).await.unwrap();
        assert_eq!(observations.recv().await, Some(connected));
        drop(older);
        let gone = Observation::Disconnected("i-00000000000000001".into());
        assert_eq!(observations.recv().await, Some(gone));
    }

    // Older than what is still spoken: refused to the end.
    for _ in 0..2 {
        let mut oldest = accept(&listener, VERSION + 1).await;
        protocol::write(&mut oldest, &Response::Refused { version: VERSION_MIN - 1 }).await.unwrap();
    }
    server.abort();
}
