//! `Bootstrap`: the list of addresses a client starts from, `a:7420,b:7420`. Any of the brokers
//! will do; the first one that answers tells about all the others.

use std::fmt;
use std::str::FromStr;

use crate::error::ClientError;

/// The port a broker listens on unless told otherwise; added to addresses that name none.
pub const DEFAULT_PORT: u16 = 7420;

/// One or more broker addresses, tried in order.
///
/// ```
/// use broker_client::Bootstrap;
///
/// let list: Bootstrap = "a:7421, b,[::1]:9".parse()?;
/// assert_eq!(list.to_string(), "a:7421,b:7420,[::1]:9");
/// assert!("a:port".parse::<Bootstrap>().is_err());
/// # Ok::<(), broker_client::ClientError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bootstrap(Vec<String>);

impl Bootstrap {
    /// The addresses, in the order in which they are tried; never empty.
    pub fn addresses(&self) -> &[String] {
        &self.0
    }
}

impl FromStr for Bootstrap {
    type Err = ClientError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let addresses = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .map(parse_address)
            .collect::<Result<Vec<_>, _>>()?;
        if addresses.is_empty() {
            return Err(ClientError::invalid(
                "the bootstrap list is empty: write one or more addresses such as a:7420,b:7420",
            ));
        }
        Ok(Self(addresses))
    }
}

fn parse_address(text: &str) -> Result<String, ClientError> {
    let wrong = |why: &str| {
        ClientError::invalid(format!(
            "{text:?} is not a broker address ({why}): write host:port, such as 127.0.0.1:7420"
        ))
    };
    let (host, port) = match text.rsplit_once(':') {
        // A bare IPv6 address is full of colons; only brackets tell its port apart.
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => {
            if text.starts_with('[') {
                (text, None)
            } else {
                return Err(wrong("an IPv6 address needs brackets, such as [::1]:7420"));
            }
        }
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    if host.is_empty() || host.contains(char::is_whitespace) || host.contains('/') {
        return Err(wrong("the host is missing or malformed"));
    }
    let port = match port {
        Some(digits) => digits
            .parse()
            .map_err(|_| wrong("the port is no number below 65536"))?,
        None => DEFAULT_PORT,
    };
    Ok(format!("{host}:{port}"))
}

impl fmt::Display for Bootstrap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_optional_and_blanks_are_ignored() {
        let list: Bootstrap = " 127.0.0.1 ,b:9,".parse().unwrap();
        assert_eq!(list.addresses(), ["127.0.0.1:7420", "b:9"]);
        let six: Bootstrap = "[::1],[fe80::2]:80".parse().unwrap();
        assert_eq!(six.addresses(), ["[::1]:7420", "[fe80::2]:80"]);
    }

    #[test]
    fn addresses_that_cannot_work_are_refused_by_name() {
        for bad in [
            "",
            " , ",
            ":7420",
            "a:b",
            "a:70000",
            "::1",
            "http://a:1/",
            "a b:1",
        ] {
            let error = bad.parse::<Bootstrap>().unwrap_err().to_string();
            assert!(
                error.contains(bad.trim()) || error.contains("empty"),
                "{bad:?} gave {error}"
            );
        }
    }
}
