//! The command line without any cluster: help, completions, mistakes.

use crate::scratch::{holdfast, run, stderr, stdout};

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = run(&["completions", shell]);
        assert!(output.status.success());
        for known in ["start-node", "continue"] {
            assert!(stdout(&output).contains(known), "{shell}: {known}");
        }
    }
}

#[test]
fn help_names_every_verb() {
    let help = stdout(&run(&["--help"]));
    let verbs = "server dev mb rb ls cp sync cat stat rm key bucket cluster locate shell completions";
    for verb in verbs.split(' ') {
        assert!(help.contains(&format!("\n  {verb} ")), "{verb} in {help}");
    }
}

#[test]
fn a_client_without_endpoint_or_key_is_told_where_they_come_from() {
    let output = run(&["ls"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("HOLDFAST_ENDPOINT"), "{}", stderr(&output));
    let output = run(&["ls", "--endpoint", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("AWS_ACCESS_KEY_ID"), "{}", stderr(&output));
    let output = run(&["key", "list", "--rest-endpoint", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("HOLDFAST_ADMIN_TOKEN"), "{}", stderr(&output));
}

#[test]
fn failures_have_three_lines_or_one_json_value() {
    let unreachable = |more: &[&str]| {
        let mut command = holdfast();
        command.args(["ls", "--endpoint", "http://127.0.0.1:1"]).args(more);
        command
            .env("AWS_ACCESS_KEY_ID", "HFEXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "secret");
        command.output().expect("starts")
    };
    let plain = unreachable(&[]);
    assert_eq!(plain.status.code(), Some(4));
    let said = stderr(&plain);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(
        lines[0].starts_with("error: no node could be reached: http://127.0.0.1:1"),
        "{said}"
    );
    assert_eq!(lines[2], "state: nothing was changed");
    assert!(!said.contains("Signature"), "{said}");

    let json = unreachable(&["--json"]);
    let value: serde_json::Value = serde_json::from_str(&stderr(&json)).expect("one JSON value");
    assert!(value["error"].as_str().is_some_and(|text| text.contains("127.0.0.1:1")));
    assert!(json.stdout.is_empty());
}

#[test]
fn a_copy_between_two_local_places_is_a_mistake() {
    let mut command = holdfast();
    command.args(["cp", "a", "b", "--endpoint", "http://127.0.0.1:1"]);
    let output = command
        .env("AWS_ACCESS_KEY_ID", "k")
        .env("AWS_SECRET_ACCESS_KEY", "s")
        .output()
        .expect("starts");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("neither end"), "{}", stderr(&output));
}

#[test]
fn dev_verbs_need_a_cluster() {
    for verb in ["stop", "status"] {
        let output = run(&["dev", verb, "--data", "/nonexistent-holdfast"]);
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        assert!(stderr(&output).contains("holds no cluster"), "{}", stderr(&output));
    }
    let output = run(&["dev", "--detach"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--data"), "{}", stderr(&output));
}
