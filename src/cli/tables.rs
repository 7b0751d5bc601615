//! Lists as tables: aligned columns without a frame, so that a pipe can take them apart too.

use std::net::IpAddr;

use comfy_table::{
    Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, presets,
};

use super::output::Style;
use super::text::{count, duration, number};
use crate::control::report::{
    EndpointReport, FlowEnd, FlowReport, FlowsReport, IdentityReport, RuleReport,
};
use crate::observe::line::printable;
use crate::state::numbers::IdentityNumber;

pub(super) fn endpoints(endpoints: &[EndpointReport], style: Style) -> String {
    if endpoints.is_empty() {
        return "no endpoints: no port of a managed bridge, and no interface that is configured\n"
            .to_owned();
    }
    let mut table = table(
        style,
        &[
            "NAME",
            "IDENTITIES",
            "ADDRESSES",
            "NETWORK",
            "INTERFACE",
            "STATE",
            "SENT",
            "RECEIVED",
            "DROPPED",
        ],
    );
    right(&mut table, 6..=8);
    for endpoint in endpoints {
        let dropped = endpoint.sent.dropped.packets + endpoint.received.dropped.packets;
        let state = match (endpoint.armed, &endpoint.name) {
            (true, Some(_)) => Cell::new("armed").fg(Color::Green),
            (true, None) => Cell::new("not named").fg(Color::Yellow),
            (false, _) => Cell::new("not armed").fg(Color::Red),
        };
        table.add_row(vec![
            name(endpoint.name.as_deref()),
            Cell::new(names(&endpoint.identities)),
            Cell::new(addresses(&endpoint.addresses)),
            text(endpoint.network.as_deref().or(endpoint.bridge.as_deref())),
            Cell::new(printable(&endpoint.interface)),
            state,
            Cell::new(number(endpoint.sent.passed.packets)),
            Cell::new(number(endpoint.received.passed.packets)),
            drops(dropped),
        ]);
    }
    // The interface first: what people look for are names, and what is dropped.
    fit(&mut table, &[4, 7, 6, 3]);
    finish(&table)
}

pub(super) fn identities(identities: &[IdentityReport], style: Style) -> String {
    let mut table = table(style, &["NAME", "KIND", "NUMBER", "MEMBERS"]);
    for identity in identities {
        let members = match (identity.prefixes, identity.endpoints.as_slice()) {
            (0, []) => "-".to_owned(),
            (0, endpoints) => names(endpoints),
            (prefixes, _) => format!("{} prefixes", number(prefixes as u64)),
        };
        table.add_row(vec![
            name(Some(&identity.name)),
            Cell::new(&identity.kind),
            Cell::new(IdentityNumber(identity.number)),
            Cell::new(members),
        ]);
    }
    finish(&table)
}

pub(super) fn rules(rules: &[RuleReport], style: Style) -> String {
    if rules.is_empty() {
        return "no rules: the defaults decide everything\n".to_owned();
    }
    let mut table = table(style, &["ACTION", "RULE", "WHERE", "CONNECTIONS"]);
    right(&mut table, 3..=3);
    for rule in rules {
        let action = match rule.action.as_str() {
            "deny" => Cell::new(&rule.action).fg(Color::Red),
            _ => Cell::new(&rule.action).fg(Color::Green),
        };
        table.add_row(vec![
            action,
            name(Some(&rule.name)),
            Cell::new(format!(
                "{}:{}",
                printable(&rule.file.to_string_lossy()),
                rule.line
            )),
            Cell::new(number(rule.hits.packets)),
        ]);
    }
    finish(&table)
}

pub(super) fn flows(report: &FlowsReport, style: Style) -> String {
    if report.total == 0 {
        return "no flows\n".to_owned();
    }
    let mut table = table(
        style,
        &["PROTOCOL", "FROM", "TO", "STATE", "IDLE", "GENERATION"],
    );
    right(&mut table, 4..=5);
    for flow in &report.flows {
        table.add_row(flow_row(flow));
    }
    fit(&mut table, &[5, 4]);
    let mut text = finish(&table);
    if report.flows.len() < report.total {
        text.push_str(&format!(
            "the {} most recently active of {}: see --limit\n",
            number(report.flows.len() as u64),
            count(report.total, "flow")
        ));
    }
    text
}

fn flow_row(flow: &FlowReport) -> Vec<Cell> {
    let state = Cell::new(&flow.state);
    vec![
        Cell::new(&flow.protocol),
        Cell::new(end(&flow.opener)),
        Cell::new(end(&flow.target)),
        match flow.state.as_str() {
            "established" => state.fg(Color::Green),
            _ => state,
        },
        Cell::new(duration(std::time::Duration::from_secs(flow.idle))),
        Cell::new(flow.generation),
    ]
}

/// `web 172.18.0.2:80`, `[2001:db8::1]:80`.
fn end(end: &FlowEnd) -> String {
    let address = match (end.address, end.port) {
        (address, None) => address.to_string(),
        (address, Some(port)) => std::net::SocketAddr::new(address, port).to_string(),
    };
    match &end.name {
        Some(name) => format!("{} {address}", printable(name)),
        None => address,
    }
}

fn table(style: Style, header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    let header = header.iter().map(|title| {
        let cell = Cell::new(title);
        if style.color {
            cell.add_attribute(Attribute::Bold)
        } else {
            cell
        }
    });
    table.set_header(header);
    let last = table.column_count().saturating_sub(1);
    for (index, column) in table.column_iter_mut().enumerate() {
        // Without the blank that a frame would need on the left.
        column.set_padding((0, if index < last { 2 } else { 0 }));
    }
    match style.width {
        // On a terminal long cells are broken; in a pipe a row stays a line.
        Some(width) => {
            table.set_content_arrangement(ContentArrangement::Dynamic);
            table.set_width(width);
        }
        None => {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
    }
    if style.color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table
}

/// On a terminal that is too narrow, hides columns, in this order, until the others fit.
fn fit(table: &mut Table, expendable: &[usize]) {
    let Some(width) = table.width() else { return };
    let widths = table.column_max_content_widths();
    let gap = 2;
    let mut needed: usize = widths
        .iter()
        .map(|&content| usize::from(content) + gap)
        .sum();
    for &index in expendable {
        if needed <= usize::from(width) + gap {
            return;
        }
        if let Some(column) = table.column_mut(index) {
            column.set_constraint(ColumnConstraint::Hidden);
            needed -= widths
                .get(index)
                .map_or(0, |&content| usize::from(content) + gap);
        }
    }
}

fn right(table: &mut Table, columns: std::ops::RangeInclusive<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

fn finish(table: &Table) -> String {
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn name(name: Option<&str>) -> Cell {
    text(name).add_attribute(Attribute::Bold)
}

fn text(text: Option<&str>) -> Cell {
    Cell::new(text.map_or("-".into(), printable))
}

fn names(names: &[String]) -> String {
    if names.is_empty() {
        return "-".to_owned();
    }
    let names: Vec<_> = names.iter().map(|name| printable(name)).collect();
    names.join(", ")
}

fn addresses(addresses: &[IpAddr]) -> String {
    if addresses.is_empty() {
        return "-".to_owned();
    }
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    addresses.join(", ")
}

fn drops(packets: u64) -> Cell {
    let cell = Cell::new(number(packets));
    if packets > 0 {
        cell.fg(Color::Red)
    } else {
        cell
    }
}

#[cfg(test)]
#[path = "tables_tests.rs"]
mod tests;
