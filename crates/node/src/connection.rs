//! One connection of a server to this node, seen from the node.

use std::io;
use std::time::Duration;

use fornada_core::attempt::Observation;
use fornada_core::text::Text;
use tokio::io::{AsyncWrite, BufReader};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::protocol::{self, Request, Response, VERSION, VERSION_MIN};

/// A server says who it is at once, or is none.
const HELLO: Duration = Duration::from_secs(10);

/// At most so many observations in a message.
const BATCH: usize = 1024;

/// What a connection tells the node.
pub(crate) enum Message {
    /// A server is there. It reads what goes into `outbox`; to drop that is to hang up.
    Connected {
        endpoint_url: Text,
        outbox: mpsc::UnboundedSender<Observation>,
    },
    Requested(Request),
    Disconnected,
}

/// Serves the connection that is known by `number` until either side hangs up.
pub(crate) async fn serve(stream: UnixStream, number: u64, messages: mpsc::Sender<(u64, Message)>) {
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let endpoint_url = match timeout(HELLO, protocol::read(&mut reader)).await {
        Ok(Ok(Some(Request::Hello { version: VERSION_MIN..=VERSION, endpoint_url }))) => endpoint_url,
        Ok(Ok(Some(Request::Hello { version, .. }))) => {
            tracing::warn!(
                "a server asked for version {version} of the node protocol, this node speaks up to {VERSION}"
            );
            let _ = protocol::write(&mut writer, &Response::Refused { version: VERSION }).await;
            return;
        }
        Ok(Ok(None)) => return, // somebody looked whether there is a node
        Ok(Ok(Some(_))) | Ok(Err(_)) | Err(_) => {
            return tracing::warn!("a connection did not begin with Hello");
        }
    };
    let (outbox, observations) = mpsc::unbounded_channel();
    if messages.send((number, Message::Connected { endpoint_url, outbox })).await.is_err() {
        return;
    }
    let read = async {
        while let Some(request) = protocol::read(&mut reader).await? {
            if messages.send((number, Message::Requested(request))).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    let ended: io::Result<()> = tokio::select! {
        ended = read => ended,
        ended = write(&mut writer, observations) => ended,
    };
    if let Err(error) = ended {
        tracing::warn!(%error, "the connection of a server broke");
    }
    let _ = messages.send((number, Message::Disconnected)).await;
}

/// Writes what comes, as much at once as there is, until the sender is gone.
async fn write(
    to: &mut (impl AsyncWrite + Unpin),
    mut observations: mpsc::UnboundedReceiver<Observation>,
) -> io::Result<()> {
    let mut batch = Vec::new();
    while observations.recv_many(&mut batch, BATCH).await > 0 {
        protocol::write(to, &Response::Observed(std::mem::take(&mut batch))).await?;
    }
    Ok(())
}
