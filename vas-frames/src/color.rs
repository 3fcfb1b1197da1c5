//! Colours: the names of ITU-T H.273 that are shown and not acted on. Those of matrices, which decide how a picture is
//! converted, are the reader's (`vas_shm_reader::convert`).

/// ColourPrimaries (H.273 table 2).
pub(crate) fn primaries_name(code_point: u8) -> &'static str {
    match code_point {
        1 => "BT.709",
        2 => "unspecified",
        4 => "BT.470 System M",
        5 => "BT.470 System B, G (BT.601 625 lines)",
        6 => "SMPTE 170M (BT.601 525 lines)",
        7 => "SMPTE 240M",
        8 => "generic film",
        9 => "BT.2020",
        10 => "SMPTE ST 428-1 (XYZ)",
        11 => "SMPTE RP 431-2 (DCI P3)",
        12 => "SMPTE EG 432-1 (Display P3)",
        22 => "EBU Tech. 3213-E",
        _ => "reserved",
    }
}

/// TransferCharacteristics (H.273 table 3).
pub(crate) fn transfer_name(code_point: u8) -> &'static str {
    match code_point {
        1 => "BT.709",
        2 => "unspecified",
        4 => "gamma 2.2 (BT.470 System M)",
        5 => "gamma 2.8 (BT.470 System B, G)",
        6 => "SMPTE 170M (BT.601)",
        7 => "SMPTE 240M",
        8 => "linear",
        9 => "logarithmic 100:1",
        10 => "logarithmic 316:1",
        11 => "IEC 61966-2-4 (xvYCC)",
        12 => "BT.1361 extended gamut",
        13 => "IEC 61966-2-1 (sRGB)",
        14 => "BT.2020 10 bit",
        15 => "BT.2020 12 bit",
        16 => "SMPTE ST 2084 (PQ)",
        17 => "SMPTE ST 428-1",
        18 => "ARIB STD-B67 (HLG)",
        _ => "reserved",
    }
}
