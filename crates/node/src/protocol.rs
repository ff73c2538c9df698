//! What server and node say to each other: CBOR messages over a Unix socket, each behind its length (u32, big endian).
//!
//! The server speaks first, with [`Request::Hello`] and the newest version that it knows. A node that knows that version
//! answers [`Observation::Connected`], and both keep to it; any other answers [`Response::Refused`] with its own newest one
//! and hangs up. A server that knows that one comes again with it. So a server of a later release takes over the node, and
//! the jobs, of an earlier one, and after a step back the other way round.
//!
//! Members that a reader does not know are skipped, so that a release may add some without a new version. What an older
//! reader cannot skip (a new message, action or observation, or a member that changes what others mean) takes a new version,
//! and is not sent where an older one was agreed. `tests/golden` holds the messages of each version as they were first
//! written.

use std::io;

use fornada_core::attempt::{Action, Observation};
use fornada_core::text::Text;
use minicbor::{Decode, Encode};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The newest version. Grows when a message changes its meaning. In 2 a launch has containers, and an end those of each of
/// them.
pub const VERSION: u32 = 2;

/// The oldest version that is still spoken, by server and node. None was released before it.
pub const VERSION_MIN: u32 = 2;

/// No message is longer, in bytes: the largest jobs are a few hundred KiB, and a batch is cut well below.
pub const MESSAGE_BYTES_MAX: usize = 16 << 20;

/// Writers close a batch when it has grown this long, in bytes.
const BATCH_BYTES: usize = 1 << 20;

/// From the server to the node.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Request {
    /// The first message. From now on the node serves this connection and no other.
    #[n(0)]
    Hello {
        /// The version that the server wants to speak.
        #[n(0)]
        version: u32,
        /// Where jobs reach the server, for example `http://127.0.0.1:8600`.
        #[n(1)]
        endpoint_url: Text,
    },
    /// Perform these, in order.
    #[n(1)]
    Perform(#[n(0)] Vec<Action>),
    /// Exit.
    #[n(2)]
    Shutdown {
        /// `true`: stop all attempts, then exit. `false`: exit only if there is nothing to look after.
        #[n(0)]
        stop_jobs: bool,
    },
}

/// From the node to the server.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Response {
    /// The node does not speak the version that was asked for.
    #[n(0)]
    Refused {
        /// [`VERSION`] of the node.
        #[n(0)]
        version: u32,
    },
    /// What happened, in order.
    #[n(1)]
    Observed(#[n(0)] Vec<Observation>),
}

/// Reads one message; `None` when the other side closed the connection between two messages.
///
/// # Errors
/// The connection fails or ends inside a message, or the message is too long or not one of ours
/// ([`io::ErrorKind::InvalidData`]).
pub async fn read<M, R>(from: &mut R) -> io::Result<Option<M>>
where
    M: for<'b> Decode<'b, ()>,
    R: AsyncRead + Unpin,
{
    let length = match from.read_u32().await {
        Ok(length) => length as usize,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    if length > MESSAGE_BYTES_MAX {
        let text = format!("a message of {length} bytes is over the limit of {MESSAGE_BYTES_MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, text));
    }
    // Grows with what really arrives, so that a length alone cannot claim memory.
    let mut bytes = Vec::with_capacity(length.min(64 << 10));
    from.take(length as u64).read_to_end(&mut bytes).await?;
    if bytes.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    minicbor::decode(&bytes).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// Writes one message.
///
/// # Errors
/// The connection fails, or the message is longer than [`MESSAGE_BYTES_MAX`].
pub async fn write<M, W>(to: &mut W, message: &M) -> io::Result<()>
where
    M: Encode<()>,
    W: AsyncWrite + Unpin,
{
    let mut bytes = vec![0; 4];
    minicbor::encode(message, &mut bytes).map_err(io::Error::other)?;
    let length = bytes.len() - 4;
    if length > MESSAGE_BYTES_MAX {
        let text = format!("a message of {length} bytes is over the limit of {MESSAGE_BYTES_MAX}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let prefix = u32::try_from(length).expect("the limit fits into 32 bits").to_be_bytes();
    bytes[..4].copy_from_slice(&prefix);
    to.write_all(&bytes).await
}

/// Cuts `items` into batches that fit into a message, in order.
pub fn batches<T: Encode<()>>(items: Vec<T>) -> Vec<Vec<T>> {
    let mut batches = Vec::new();
    let mut batch = Vec::new();
    let mut length = 0;
    for item in items {
        let more = minicbor::to_vec(&item).map_or(0, |bytes| bytes.len());
        if length + more > BATCH_BYTES && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            length = 0;
        }
        length += more;
        batch.push(item);
    }
    batches.extend(Some(batch).filter(|batch| !batch.is_empty()));
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_read_as_written_and_broken_ones_are_errors() {
        let hello = Request::Hello { version: VERSION, endpoint_url: "http://127.0.0.1:8600".into() };
        let mut bytes = Vec::new();
        write(&mut bytes, &hello).await.unwrap();
        write(&mut bytes, &Request::Shutdown { stop_jobs: true }).await.unwrap();
        let mut input = bytes.as_slice();
        assert_eq!(read::<Request, _>(&mut input).await.unwrap(), Some(hello));
        assert_eq!(
            read::<Request, _>(&mut input).await.unwrap(),
            Some(Request::Shutdown { stop_jobs: true })
        );
        assert_eq!(read::<Request, _>(&mut input).await.unwrap(), None);

        let kind = async |bytes: &[u8]| read::<Request, _>(&mut &*bytes).await.unwrap_err().kind();
        assert_eq!(kind(&bytes[..20]).await, io::ErrorKind::UnexpectedEof);
        assert_eq!(kind(&[0xff, 0xff, 0xff, 0xff, 0]).await, io::ErrorKind::InvalidData);
        assert_eq!(kind(&[0, 0, 0, 1, 0xff]).await, io::ErrorKind::InvalidData);
    }

    #[tokio::test]
    async fn members_of_a_later_release_are_skipped() {
        // [2, [true, "later"]]: Shutdown with a member that does not exist yet.
        let later = [0, 0, 0, 10, 0x82, 0x02, 0x82, 0xf5, 0x65, b'l', b'a', b't', b'e', b'r'];
        let request = read::<Request, _>(&mut later.as_slice()).await.unwrap();
        assert_eq!(request, Some(Request::Shutdown { stop_jobs: true }));
    }

    #[test]
    fn batches_keep_order_and_stay_short() {
        let items: Vec<Text> = (0..5).map(|i| Text::from(i.to_string().repeat(BATCH_BYTES / 2))).collect();
        let batches = batches(items.clone());
        assert_eq!(batches.concat(), items);
        assert!(
            batches.iter().all(|batch| batch.len() == 1),
            "two halves and their heads are over the limit"
        );
        assert!(super::batches(Vec::<Text>::new()).is_empty());
    }
}
