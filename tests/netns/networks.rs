//! The world outside, by address.

use super::{firewall, policy};
use crate::common::sandbox::Sandbox;
use crate::common::verdict::Traffic::{Ping, Tcp};
use crate::common::verdict::{Verdicts, why};

on_both_hooks! {
    fn a_network_is_its_cidrs_without_their_exceptions(attach) {
        let mut sandbox = Sandbox::new(&["web"]);
        sandbox.add_far(1500);
        let rules = |except: &str| {
            format!(
                r#"
                [networks.office]
                cidrs  = ["203.0.113.0/24", "2001:db8:f::/48"]
                except = [{except}]

                [[allow]]
                from = "office"
                to   = "web"
                "#
            )
        };
        let daemon = firewall(&sandbox, attach, &rules(r#""203.0.113.66/32", "2001:db8:f::66/128""#));
        let [web, far, outside] = [sandbox.container("web"), sandbox.far(), sandbox.outside()];
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(far, web, Tcp(80));
        verdicts.allowed(far, web, Ping);
        verdicts.dropped(outside, web, Tcp(80), why::DEFAULT);

        daemon.edit(&policy(&["web"], &rules(r#""203.0.113.0/30", "2001:db8:f::2/128""#)));
        verdicts.dropped(far, web, Tcp(80), why::DEFAULT);
        verdicts.dropped(far, web, Ping, why::DEFAULT);
        verdicts.dropped(outside, web, Tcp(80), why::DEFAULT);
    }

    fn the_narrower_network_is_denied_within_the_wider_one(attach) {
        let mut sandbox = Sandbox::new(&["web"]);
        sandbox.add_far(1500);
        let daemon = firewall(
            &sandbox,
            attach,
            r#"
            [[allow]]
            from = "internet"
            to   = "web"

            [[deny]]
            from = ["203.0.113.2/32", "2001:db8:f::2/128"]
            to   = "any"
            "#,
        );
        let [web, far, outside] = [sandbox.container("web"), sandbox.far(), sandbox.outside()];
        let verdicts = Verdicts::of(&daemon);
        verdicts.allowed(outside, web, Tcp(80));
        verdicts.dropped(far, web, Tcp(80), why::DENIED);
        // A connection that the container opens is another matter.
        verdicts.allowed(web, far, Tcp(80));
    }

    fn a_cidr_never_matches_a_container_or_the_host(attach) {
        let sandbox = Sandbox::new(&["web", "db"]);
        let daemon = firewall(
            &sandbox,
            attach,
            r#"
            [[allow]]
            from = ["10.77.0.0/16", "fd77::/16"]
            to   = "db"
            "#,
        );
        let [web, db] = ["web", "db"].map(|name| sandbox.container(name));
        let verdicts = Verdicts::of(&daemon);
        verdicts.dropped(web, db, Tcp(80), why::DEFAULT);
        verdicts.dropped(&sandbox.bridge_node(), db, Tcp(80), why::DEFAULT);
    }
}
