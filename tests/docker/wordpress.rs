//! A page that needs its database, in three steps from "nothing" to "just that".

use std::net::SocketAddr;

use super::firewall;
use crate::common::docker::{Container, Engine};
use crate::common::verdict::Traffic::{Connect, Ping};
use crate::common::verdict::{Verdicts, why};
use crate::common::{BRIEFLY, PATIENCE, eventually_equals, probe};

/// A page that asks its database for its version, as a real one asks for its posts.
const FRONTEND: &str = r#"
cat > /www/cgi-bin/page <<'END'
#!/bin/sh
printf 'Content-Type: text/plain\r\n\r\n'
answer=$(timeout 1 nc mysql 3306 </dev/null)
echo "${answer:-error establishing a database connection}"
END
chmod +x /www/cgi-bin/page
exec httpd -f -p 80 -h /www
"#;

const DATABASE: &str = r"
mkdir -p /srv
printf '#!/bin/sh\necho 5.7.44-log\n' > /srv/greet
chmod +x /srv/greet
exec nc -ll -p 3306 -e /srv/greet
";

const STEP_1: &str = r#"
[identities.frontend]
labels = { tier = "frontend" }

[identities.mysql]
labels = { tier = "mysql" }
"#;

const STEP_2: &str = r#"
[[allow]]
from = "any"
to   = "frontend"
"#;

const STEP_3: &str = r#"
[[allow]]
name  = "the page's database"
from  = "frontend"
to    = "mysql"
ports = ["3306/tcp"]
"#;

fn page(from: &Container, to: SocketAddr, patience: std::time::Duration) -> Option<(u16, String)> {
    probe::http_within(from.namespace(), to, "GET", "/cgi-bin/page", patience)
}

#[test]
fn a_page_gets_its_database_and_nobody_else_does() {
    let mut engine = Engine::take();
    let network = engine.network(1);
    let mysql = engine
        .container("mysql")
        .label("tier", "mysql")
        .argument("--network-alias=mysql")
        .script(DATABASE)
        .start(network);
    let frontend = engine
        .container("frontend")
        .label("tier", "frontend")
        .publish(18080, 80)
        .script(FRONTEND)
        .start(network);
    let visitor = engine.container("visitor").start(network);
    let works = Some((200, "5.7.44-log".to_owned()));
    let broken = Some((200, "error establishing a database connection".to_owned()));
    let shows = |expected: &Option<(u16, String)>| {
        for to in frontend.sockets(80) {
            eventually_equals("the page", expected, || page(&visitor, to, PATIENCE));
        }
    };
    shows(&works);

    // 1: nothing answers.
    let daemon = firewall(&engine, STEP_1, 3);
    let verdicts = Verdicts::of(&daemon);
    for to in frontend.sockets(80) {
        assert_eq!(page(&visitor, to, BRIEFLY), None);
    }
    verdicts.dropped(&visitor.node, &frontend.node, Connect(80), why::DEFAULT);
    verdicts.dropped(&visitor.node, &mysql.node, Connect(3306), why::DEFAULT);
    verdicts.dropped(&frontend.node, &mysql.node, Connect(3306), why::DEFAULT);
    verdicts.dropped(&visitor.node, &frontend.node, Ping, why::DEFAULT);

    // 2: the page answers, but its database is out of reach.
    daemon.edit(&format!("{STEP_1}{STEP_2}"));
    shows(&broken);
    verdicts.allowed(&visitor.node, &frontend.node, Ping);
    verdicts.dropped(&frontend.node, &mysql.node, Connect(3306), why::DEFAULT);

    // 3: the page works, and for nobody else does the database answer.
    daemon.edit(&format!("{STEP_1}{STEP_2}{STEP_3}"));
    shows(&works);
    verdicts.dropped(&visitor.node, &mysql.node, Connect(3306), why::DEFAULT);
    verdicts.dropped(&frontend.node, &mysql.node, Ping, why::DEFAULT);
    assert!(daemon.hits("the page's database") >= 2);
    let outside = engine.outside();
    let published = ([198, 51, 100, 1], 18080).into();
    let answer = probe::http_within(
        &outside.namespace,
        published,
        "GET",
        "/cgi-bin/page",
        PATIENCE,
    );
    assert_eq!(
        answer, works,
        "the published port is as good as the page's own"
    );
}
