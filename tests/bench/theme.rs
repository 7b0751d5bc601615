//! Colours of the pictures, by day and by night: whoever shows them says which of the two it is.

use plotters::prelude::*;

/// A colour, and what it is in the dark.
pub struct Ink {
    pub light: RGBColor,
    dark: RGBColor,
}

const fn ink(light: u32, dark: u32) -> Ink {
    const fn colour(rgb: u32) -> RGBColor {
        let [_, red, green, blue] = rgb.to_be_bytes();
        RGBColor(red, green, blue)
    }
    Ink {
        light: colour(light),
        dark: colour(dark),
    }
}

pub const PAPER: Ink = ink(0xff_ff_ff, 0x0d_11_17);
pub const TEXT: Ink = ink(0x1f_23_28, 0xe6_ed_f3);
pub const QUIET: Ink = ink(0x65_6d_76, 0x8d_96_a0);
pub const GRID: Ink = ink(0xd8_de_e4, 0x30_36_3d);
pub const OURS: Ink = ink(0x09_69_da, 0x44_93_f8);
pub const OTHERS: Ink = ink(0xaf_b8_c1, 0x54_5d_68);
pub const GOAL: Ink = ink(0xcf_22_2e, 0xf8_51_49);
/// Of lines that are told apart by their colour.
pub const LINES: [Ink; 4] = [
    OURS,
    ink(0x1a_7f_37, 0x3f_b9_50),
    ink(0x9a_67_00, 0xd2_99_22),
    ink(0x82_50_df, 0xab_7d_f8),
];

/// Text of this size.
pub fn font(size: i32, ink: &Ink) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&ink.light)
}

/// A finished drawing, with what changes in the dark.
pub fn with_night(drawing: &str) -> String {
    let name = |RGBColor(red, green, blue)| format!("#{red:02X}{green:02X}{blue:02X}");
    let inks = [&PAPER, &TEXT, &QUIET, &GRID, &OTHERS, &GOAL]
        .into_iter()
        .chain(&LINES);
    let rules: String = inks
        .map(|ink| {
            let (light, dark) = (name(ink.light), name(ink.dark));
            format!("[fill=\"{light}\"]{{fill:{dark}}}[stroke=\"{light}\"]{{stroke:{dark}}}")
        })
        .collect();
    let style = format!("<style>@media (prefers-color-scheme: dark){{{rules}}}</style>");
    match drawing.find('>') {
        Some(end) => {
            let (head, rest) = drawing.split_at(end + 1);
            format!("{head}\n{style}{rest}")
        }
        None => drawing.to_owned(),
    }
}
