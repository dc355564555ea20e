//! Requests and answers as bytes: just enough MessagePack to say anything to a broker, and to see whether an
//! answer is an error and which. Nothing here keeps to the broker's limits; that is the point.

/// MessagePack under construction.
#[derive(Clone, Debug, Default)]
pub struct Message(Vec<u8>);

impl Message {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A map of so many pairs, which have to follow.
    pub fn map(self, pairs: u32) -> Self {
        self.headed(0xdf, pairs)
    }

    /// An array of so many elements, which have to follow.
    pub fn array(self, elements: u32) -> Self {
        self.headed(0xdd, elements)
    }

    /// A text.
    pub fn text(self, text: &str) -> Self {
        self.headed(0xdb, length(text.len())).raw(text.as_bytes())
    }

    /// Bytes.
    pub fn bin(self, bytes: &[u8]) -> Self {
        self.headed(0xc6, length(bytes.len())).raw(bytes)
    }

    /// A number.
    pub fn number(mut self, number: u64) -> Self {
        self.0.push(0xcf);
        self.raw(&number.to_be_bytes())
    }

    /// Nothing, as a value.
    pub fn nil(self) -> Self {
        self.raw(&[0xc0])
    }

    /// Bytes as they are.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// What was built.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn headed(mut self, marker: u8, count: u32) -> Self {
        self.0.push(marker);
        self.raw(&count.to_be_bytes())
    }
}

fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// A whole request frame.
pub fn request(id: u64, method: &str, args: Message) -> Vec<u8> {
    let body = Message::new().raw(&[0x94, 0x00]).number(id).text(method);
    framed(&body.raw(&args.into_bytes()).into_bytes())
}

/// A whole frame that asks for something and for no answer.
pub fn notification(method: &str, args: Message) -> Vec<u8> {
    let body = Message::new().raw(&[0x93, 0x02]).text(method);
    framed(&body.raw(&args.into_bytes()).into_bytes())
}

/// A frame around any body.
pub fn framed(body: &[u8]) -> Vec<u8> {
    announced(body.len(), body)
}

/// A frame that announces one length and carries another.
pub fn announced(announced: usize, body: &[u8]) -> Vec<u8> {
    let head = Message::new().headed(0xce, length(announced));
    head.raw(body).into_bytes()
}

/// `hello`.
pub fn hello() -> Vec<u8> {
    let args = Message::new().map(1).text("client").text("flood");
    request(1, "hello", args)
}

/// `produce` of one array of records to a partition.
pub fn produce(id: u64, topic: &str, records: &[u8]) -> Vec<u8> {
    request(id, "produce", to_partition(topic, records))
}

/// What `produce` takes: one array of records to a partition.
pub fn to_partition(topic: &str, records: &[u8]) -> Message {
    let args = Message::new().map(3).text("topic").text(topic);
    let args = args.text("partition").number(0).text("records");
    args.raw(records)
}

/// So many records without a key, each with a value of so many bytes.
pub fn records(count: u32, value_bytes: usize) -> Vec<u8> {
    let value = vec![b'v'; value_bytes];
    let mut records = Message::new().array(count);
    for _ in 0..count {
        records = records.raw(&[0x92, 0xc0]).bin(&value);
    }
    records.into_bytes()
}

/// What a fetch wants, beside the partitions.
#[derive(Clone, Copy, Debug)]
pub struct Fetch {
    /// `records` or `batch`.
    pub form: &'static str,
    /// How long it may wait, in milliseconds.
    pub wait_ms: u64,
    /// The offset in each partition.
    pub offset: u64,
    /// Partitions 0 to this one, exclusive.
    pub partitions: u32,
    /// Most bytes of stored batches.
    pub bytes_max: u64,
}

impl Fetch {
    /// The request.
    pub fn request(self, id: u64, topic: &str) -> Vec<u8> {
        let args = Message::new().map(5).text("form").text(self.form);
        let args = args.text("max_wait_ms").number(self.wait_ms);
        let args = args.text("min_bytes").number(1);
        let args = args.text("max_bytes").number(self.bytes_max);
        let mut args = args.text("partitions").array(self.partitions);
        for partition in 0..self.partitions {
            args = args.map(3).text("topic").text(topic).text("partition");
            args = args.number(u64::from(partition)).text("offset");
            args = args.number(self.offset);
        }
        request(id, "fetch", args)
    }
}

/// The name of the error that an answer carries; `None` when it is none.
pub fn error_name(body: &[u8]) -> Option<String> {
    let after_id = body.get(2..)?;
    let id_bytes = match after_id.first()? {
        0xcc => 2,
        0xcd => 3,
        0xce => 5,
        0xcf => 9,
        _ => 1,
    };
    let error = after_id.get(id_bytes..)?;
    if error.first() == Some(&0xc0) {
        return find_named_error(error.get(1..)?);
    }
    Some(text_after_name(error).unwrap_or_else(|| "an error".to_owned()))
}

/// An error beside a partition of a fetch answer, which stands right at its start.
fn find_named_error(result: &[u8]) -> Option<String> {
    let start = result.get(..200.min(result.len()))?;
    let at = start.windows(6).position(|bytes| bytes == b"\xa5error")?;
    text_after_name(result.get(at..)?)
}

fn text_after_name(error: &[u8]) -> Option<String> {
    let at = error.windows(5).position(|bytes| bytes == b"\xa4name")?;
    let text = error.get(at + 5..)?;
    let (bytes, text) = match text.first()? {
        short @ 0xa0..=0xbf => (usize::from(short & 0x1f), text.get(1..)?),
        0xd9 => (usize::from(*text.get(1)?), text.get(2..)?),
        _ => return None,
    };
    Some(String::from_utf8_lossy(text.get(..bytes)?).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_an_error_is_found() {
        let answer = b"\x94\x01\x05\x82\xa4code\x0c\xa4name\xa4BUSY\xc0";
        assert_eq!(error_name(answer).as_deref(), Some("BUSY"));
        let fetched = b"\x94\x01\xcd\x01\x00\xc0\x81\xa1p\x91\x81\xa5error\x81\xa4name\xa4BUSY";
        assert_eq!(error_name(fetched).as_deref(), Some("BUSY"));
        assert_eq!(error_name(b"\x94\x01\x05\xc0\x80"), None);
    }
}
