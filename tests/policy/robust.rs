//! No text, however strange, gets anything but a policy or a report.

use std::path::Path;

use bridgewall::policy::{FileError, Report, Source, parse};
use proptest::prelude::*;

fn check(sources: Vec<Source>) -> Result<(), TestCaseError> {
    let mut read = |path: &Path| {
        if path.to_string_lossy().len().is_multiple_of(2) {
            return Ok(Source::new(path, "10.0.0.0/8\n10.0.0.1/8\n\u{feff}x"));
        }
        Err(FileError {
            path: path.to_owned(),
            message: "no".to_owned(),
            help: "no".to_owned(),
        })
    };
    match parse(sources, &mut read) {
        Ok(_) => Ok(()),
        Err(report) => check_report(&report),
    }
}

fn check_report(report: &Report) -> Result<(), TestCaseError> {
    prop_assert!(!report.diagnostics().is_empty());
    for diagnostic in report.diagnostics() {
        prop_assert!(!diagnostic.message.is_empty() && !diagnostic.help.is_empty());
    }
    let plain = report.render(false);
    prop_assert!(
        !plain.chars().any(|c| c.is_control() && c != '\n'),
        "{plain:?}"
    );
    prop_assert!(!report.render(true).is_empty() && !report.summary().is_empty());
    prop_assert!(serde_json::to_string(report).is_ok());
    Ok(())
}

/// Keys and values that the language knows, in any order and place.
fn shuffled() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "[defaults]",
        "[defaults.host]",
        "[identities.web]",
        "[networks.net]",
        "[[allow]]",
        "[[deny]]",
        "[[test]]",
        "labels",
        "match",
        "name",
        "from",
        "to",
        "ports",
        "icmp",
        "protocols",
        "cidrs",
        "except",
        "file",
        "side",
        "log",
        "expect",
        "port",
        "ingress",
        "mode",
        " = ",
        " = ",
        " = ",
        "\"web\"",
        "\"net\"",
        "\"any\"",
        "\"same-project\"",
        "\"80/tcp\"",
        "\"0\"",
        "\"ipv6:1-2\"",
        "\"10.0.0.0/8\"",
        "\"::ffff:1.2.3.4\"",
        "[\"a\", \"b\"]",
        "{ key = \"a\", op = \"in\", values = [\"x\"] }",
        "true",
        "7",
        "-0x1",
        "1979-05-27",
        "\n",
        "\n",
        "\n",
        "\n",
        "[",
        "]",
        "{",
        "}",
        ",",
        ".",
        "\"",
        "'''",
        "#",
        "ä",
        "\u{0}",
        "\u{202e}",
        "\r",
        "\t",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_gives_a_policy_or_a_report(text in any::<String>()) {
        check(vec![Source::new("a.toml", text)])?;
    }

    #[test]
    fn any_bytes_give_a_policy_or_a_report(bytes in any::<Vec<u8>>()) {
        check(vec![Source::from_bytes("a.toml", bytes)])?;
    }

    #[test]
    fn any_order_of_the_words_of_the_language_gives_a_policy_or_a_report(first in shuffled(), second in shuffled()) {
        check(vec![Source::new("a.toml", first), Source::new("policy.d/b.toml", second)])?;
    }

    #[test]
    fn a_good_policy_with_a_hole_in_it_gives_a_policy_or_a_report(
        start in 0_usize..1500,
        length in 0_usize..40,
        patch in any::<Vec<u8>>(),
    ) {
        let mut bytes = include_bytes!("first-policy.toml").to_vec();
        let start = start.min(bytes.len());
        let end = (start + length).min(bytes.len());
        bytes.splice(start..end, patch);
        check(vec![Source::from_bytes("a.toml", bytes)])?;
    }

    #[test]
    fn any_glob_gives_a_policy_or_a_report(glob in "[*?a/{},\\[\\]!^\\\\-]{0,256}") {
        check(vec![Source::new("a.toml", format!("[identities.x]\nname = '{glob}'\n"))])?;
    }

    #[test]
    fn any_entry_of_a_list_gives_a_policy_or_a_report(entry in "[ -~äß]{0,40}", number in any::<i64>()) {
        for key in ["ports", "icmp", "protocols", "from", "name"] {
            for value in [format!("{entry:?}"), number.to_string()] {
                check(vec![Source::new("a.toml", format!("[[allow]]\nto = \"any\"\n{key} = [{value}, {value}]\n"))])?;
            }
        }
        for key in ["name", "image", "network", "project", "interface", "match", "labels"] {
            check(vec![Source::new("a.toml", format!("[identities.x]\n{key} = {entry:?}\n"))])?;
        }
        check(vec![Source::new("a.toml", format!("[networks.x]\ncidrs = {entry:?}\n"))])?;
    }
}

/// Tables nest in many ways; none may use up the stack.
#[test]
fn no_depth_of_nesting_uses_up_the_stack() {
    let keys = vec!["a"; 79].join(".");
    let texts = [
        "[".repeat(100_000),
        format!("a = {}", "[".repeat(100_000)),
        format!("a = {}{}", "[".repeat(100_000), "]".repeat(100_000)),
        format!("a = {}", "{a=".repeat(100_000)),
        format!("[{}]", vec!["a"; 100_000].join(".")),
        format!("{} = 1", vec!["a"; 100_000].join(".")),
        format!(
            "[{keys}]\n{}b=1{}",
            format!("{keys}={{").repeat(79),
            "}".repeat(79)
        ),
        format!(
            "a = {}1{}",
            format!("[{{{keys}=").repeat(40),
            "}]".repeat(40)
        ),
        format!("a = [1,\n{}", format!("{{{keys}=[1,\n").repeat(79)),
    ];
    let run = move || {
        for text in texts {
            let refused = parse(vec![Source::new("a.toml", text)], &mut |path| {
                Ok(Source::new(path, ""))
            });
            assert!(refused.is_err());
        }
    };
    let small = std::thread::Builder::new()
        .stack_size(256 << 10)
        .spawn(run)
        .unwrap();
    small.join().unwrap();
}

#[test]
fn the_largest_globs_give_a_policy_or_a_report() {
    let nested =
        |open: &str, close: &str, depth| format!("{}{}", open.repeat(depth), close.repeat(depth));
    for glob in [
        nested("{", "}", 128),
        nested("{a,", "}", 64),
        nested("{*,?", "}", 51),
        nested("{", "", 256),
        "?".repeat(256),
        "*".repeat(256),
        "**/".repeat(85),
        "[!a]".repeat(64),
        "{*,*}".repeat(51),
        "ß".repeat(256),
    ] {
        let text = format!("[identities.x]\nname = '{glob}'\n");
        let parsed = parse(vec![Source::new("a.toml", text)], &mut |path| {
            Ok(Source::new(path, ""))
        });
        if let Err(report) = parsed {
            assert!(report.summary().contains("is not a valid glob"), "{report}");
        }
    }
}

#[test]
fn more_errors_than_anybody_reads_are_only_counted() {
    let text = format!(
        "[[allow]]\nfrom = \"any\"\nto = \"any\"\nports = [{}]\n",
        "\"x\", ".repeat(500)
    );
    let report = parse(vec![Source::new("a.toml", text)], &mut |path| {
        Ok(Source::new(path, ""))
    })
    .unwrap_err();
    assert_eq!((report.diagnostics().len(), report.omitted()), (100, 400));
    assert!(
        report
            .render(false)
            .contains("500 errors, the first 100 are shown")
    );
    assert!(
        report.summary().ends_with("(and 499 more)"),
        "{}",
        report.summary()
    );
}

#[test]
fn a_report_for_programs_names_file_line_and_column() {
    let text = "[[allow]]\nfrom = \"any\"\nto = \"any\"\nports = [\"80\", \"ä\", \"0\"]\n";
    let report = parse(vec![Source::new("dir/a.toml", text)], &mut |path| {
        Ok(Source::new(path, ""))
    })
    .unwrap_err();
    let json = serde_json::to_value(&report).unwrap();
    let last = &json["diagnostics"][1];
    assert_eq!(last["file"], "dir/a.toml");
    assert_eq!(
        (&last["line"], &last["column"], &last["width"]),
        (&4.into(), &21.into(), &3.into())
    );
    assert_eq!(last["source"], "ports = [\"80\", \"ä\", \"0\"]");
    assert_eq!(last["help"], "write \"*/tcp\" for all ports");
    assert!(
        last.get("marked").is_none() && last.get("related").is_none(),
        "{last}"
    );
}

#[test]
fn of_an_endless_line_only_the_part_around_the_error_is_kept() {
    let list = "\"10.0.0.1\", ".repeat(1_000);
    let more = "\"any\", ".repeat(3_000);
    let text = format!("[[allow]]\nfrom = [{list}\"0.0.0.1/8\"]\nto = [\"any\"] # {more}\n");
    let text = text.replace("]\nto", &format!("] # {more}\nto"));
    let report = parse(vec![Source::new("a.toml", text)], &mut |path| {
        Ok(Source::new(path, ""))
    })
    .unwrap_err();
    let rendered = report.render(false);
    assert!(rendered.contains("a.toml:2:12009"), "{rendered}");
    assert!(rendered.contains("\"0.0.0.1/8\""), "{rendered}");
    assert!(
        report.diagnostics()[0]
            .place
            .position
            .as_ref()
            .unwrap()
            .source
            .len()
            <= 16 << 10
    );
}
