//! Who may always get in to manage the host: those that the configuration names, and those that are
//! connected when a policy is taken. Nobody is to be locked out by a policy of their own.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use ipnet::IpNet;

use crate::config::Management;
use crate::state::desired::ManagementKey;

/// The kernel's lists of TCP sockets, in this process's network namespace.
const SOCKETS: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];

/// `TCP_ESTABLISHED` (net/tcp_states.h), as the lists have it.
const ESTABLISHED: &str = "01";

/// Who may always get in, as things are now. `caller`: the SSH connection over which a policy is taken.
pub(super) fn find(settings: &Management, caller: Option<&Connection>) -> BTreeSet<ManagementKey> {
    if !settings.enabled {
        return BTreeSet::new();
    }
    let mut keys: BTreeSet<_> = settings
        .allow
        .iter()
        .flat_map(|allowance| {
            let port = allowance.port.get();
            let prefixes = allowance.prefixes().into_iter();
            prefixes.map(move |network| ManagementKey { network, port })
        })
        .collect();
    let ports: BTreeSet<u16> = settings.ports.iter().map(|port| port.get()).collect();
    for path in SOCKETS {
        match fs::read_to_string(path) {
            Ok(text) => keys.extend(
                established(&text)
                    .filter(|connection| ports.contains(&connection.port))
                    .filter_map(|connection| connection.key()),
            ),
            // A kernel without IPv6 has one list only.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => log::warn!(
                "cannot read {path}: {error}; whoever is connected now stays allowed only if the \
                 policy says so"
            ),
        }
    }
    keys.extend(caller.and_then(Connection::key));
    keys
}

/// A connection to a port of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Connection {
    remote: IpAddr,
    port: u16,
}

impl Connection {
    /// What sshd leaves in `SSH_CONNECTION` (ssh(1)): the client's address and port, and the server's.
    pub fn of_ssh(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let remote: IpAddr = words.next()?.split('%').next()?.parse().ok()?;
        let port = words.nth(2)?.parse().ok()?;
        Some(Self { remote, port })
    }

    /// Nobody is locked out of a connection from the host to itself.
    fn key(&self) -> Option<ManagementKey> {
        let remote = self.remote.to_canonical();
        (!remote.is_loopback()).then(|| ManagementKey {
            network: IpNet::from(remote),
            port: self.port,
        })
    }
}

/// The established connections in one of the kernel's lists. Lines that make no sense are left out.
fn established(text: &str) -> impl Iterator<Item = Connection> + '_ {
    text.lines().skip(1).filter_map(|line| {
        let mut words = line.split_ascii_whitespace();
        let (_, local, remote, state) =
            (words.next()?, words.next()?, words.next()?, words.next()?);
        (state == ESTABLISHED).then_some(())?;
        Some(Connection {
            remote: socket(remote)?.ip(),
            port: socket(local)?.port(),
        })
    })
}

/// `0100007F:0016`: an address, in words as they lie in memory, and a port, both in hexadecimal.
fn socket(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = [0; 16];
    let words = bytes.chunks_exact_mut(4);
    let digits = address.as_bytes().chunks_exact(8);
    let count = digits.len();
    for (word, digits) in words.zip(digits) {
        let digits = std::str::from_utf8(digits).ok()?;
        word.copy_from_slice(&u32::from_str_radix(digits, 16).ok()?.to_ne_bytes());
    }
    let address = match (address.len(), count) {
        (8, 1) => IpAddr::V4(Ipv4Addr::new(bytes[0], bytes[1], bytes[2], bytes[3])),
        (32, 4) => IpAddr::V6(Ipv6Addr::from(bytes)),
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Allowance;
    use std::num::NonZeroU16;

    const LIST: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0
   1: 057100CB:0016 076433C6:D431 01 00000000:00000000 02:000A7B2C 00000000     0
   2: 057100CB:0016 086433C6:D431 06 00000000:00000000 02:000A7B2C 00000000     0
   nonsense
";

    fn key(network: &str, port: u16) -> ManagementKey {
        let network = network.parse().unwrap();
        ManagementKey { network, port }
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn only_established_connections_count() {
        let found: Vec<_> = established(LIST).filter_map(|found| found.key()).collect();
        assert_eq!(found, [key("198.51.100.7/32", 22)]);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn an_ipv4_client_of_an_ipv6_socket_is_known_by_its_ipv4_address() {
        let found = socket("0000000000000000FFFF0000076433C6:0016").unwrap();
        let connection = Connection {
            remote: found.ip(),
            port: found.port(),
        };
        assert_eq!(connection.key(), Some(key("198.51.100.7/32", 22)));
    }

    #[test]
    fn what_sshd_tells_of_a_connection_is_understood() {
        let found = Connection::of_ssh("2001:db8::7 50123 2001:db8::1 2222").unwrap();
        assert_eq!(found.key(), Some(key("2001:db8::7/128", 2222)));
        let scoped = Connection::of_ssh("fe80::7%eth0 50123 fe80::1%eth0 22").unwrap();
        assert_eq!(scoped.key(), Some(key("fe80::7/128", 22)));
        for odd in [
            "",
            "nonsense",
            "192.0.2.1 1 192.0.2.2",
            "192.0.2.1 1 192.0.2.2 x",
        ] {
            assert_eq!(Connection::of_ssh(odd), None, "{odd}");
        }
    }

    #[test]
    fn nobody_is_let_in_where_management_is_switched_off() {
        let mut settings = Management {
            enabled: true,
            ports: Vec::new(),
            allow: vec![Allowance {
                from: "any".parse().unwrap(),
                port: NonZeroU16::new(22).unwrap(),
            }],
        };
        let both = BTreeSet::from([key("0.0.0.0/0", 22), key("::/0", 22)]);
        assert_eq!(find(&settings, None), both);
        settings.enabled = false;
        assert_eq!(find(&settings, None), BTreeSet::new());
    }
}
