//! `Codec`: how a batch body is compressed, with the id it has on disk and the name it has on the
//! wire and in configuration. The ids are Kafka's. The formats are carried out by `compression`.

use std::fmt;

/// How a batch body is compressed, always as a whole, in a format that an ordinary library of any
/// language writes and reads:
///
/// | codec | format | written in Python by | in Node by |
/// |-------|--------|----------------------|------------|
/// | gzip | one member, RFC 1952 | `gzip.compress` | `zlib.gzipSync` |
/// | snappy | one raw block, no framing | `snappy.compress` | `snappy.compress` |
/// | lz4 | one LZ4 frame, no dictionary | `lz4.frame.compress` | `lz4.encode` |
/// | zstd | one frame, no dictionary | `compression.zstd.compress` | `zlib.zstdCompressSync` |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Codec {
    /// Not compressed: the body is the MessagePack array itself.
    #[default]
    None,
    /// One gzip member (RFC 1952).
    Gzip,
    /// One raw Snappy block: what most libraries call plain `compress`.
    Snappy,
    /// One LZ4 frame.
    Lz4,
    /// One Zstandard frame (RFC 8878), without a dictionary.
    Zstd,
}

impl Codec {
    /// Every codec, by id.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The id in the batch header.
    pub const fn id(self) -> u8 {
        match self {
            Self::None => 0,
            Self::Gzip => 1,
            Self::Snappy => 2,
            Self::Lz4 => 3,
            Self::Zstd => 4,
        }
    }

    /// The name on the wire and in configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    /// The codec with this id.
    ///
    /// # Errors
    /// When there is none.
    pub fn from_id(id: u8) -> Result<Self, UnsupportedCodec> {
        let found = Self::ALL.into_iter().find(|codec| codec.id() == id);
        found.ok_or_else(|| UnsupportedCodec {
            given: id.to_string(),
        })
    }

    /// The codec with this name; names are lower case.
    ///
    /// # Errors
    /// When there is none; the message lists those that there are.
    pub fn from_name(name: &str) -> Result<Self, UnsupportedCodec> {
        let found = Self::ALL.into_iter().find(|codec| codec.name() == name);
        found.ok_or_else(|| UnsupportedCodec {
            given: name.chars().take(32).collect(),
        })
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A codec that this broker does not know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("codec {given:?} is not supported; there are none, gzip, snappy, lz4 and zstd")]
pub struct UnsupportedCodec {
    /// The name or id asked for, shortened to 32 characters.
    pub given: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_ids_are_read_back() {
        for codec in Codec::ALL {
            assert_eq!(Codec::from_id(codec.id()), Ok(codec));
            assert_eq!(Codec::from_name(codec.name()), Ok(codec));
        }
        assert_eq!(Codec::ALL.map(Codec::id), [0, 1, 2, 3, 4]);
    }

    #[test]
    fn an_unknown_codec_is_named_together_with_the_known_ones() {
        let text = Codec::from_name("brotli").map_err(|error| error.to_string());
        assert_eq!(
            text,
            Err(
                "codec \"brotli\" is not supported; there are none, gzip, snappy, lz4 and zstd"
                    .to_owned()
            )
        );
        for codec in Codec::ALL {
            assert!(
                UnsupportedCodec {
                    given: "x".to_owned()
                }
                .to_string()
                .contains(codec.name()),
                "the message forgets {codec}"
            );
        }
        assert!(Codec::from_id(5).is_err());
        assert!(Codec::from_name("GZIP").is_err());
    }
}
