use nearfield_kernels::block::{BF16, F16};
use nearfield_kernels::{KvRowsMut, scalar};

use super::reference::half;

fn store(x: f32) -> u16 {
    let mut out = [0];
    scalar::store_kv(&[x], KvRowsMut::F16(&mut out));
    out[0]
}

#[test]
fn every_half_is_converted_exactly() {
    for bits in 0..=u16::MAX {
        let (got, want) = (f64::from(F16(bits.to_le_bytes()).to_f32()), half(bits));
        assert!(got.to_bits() == want.to_bits() || got.is_nan() && want.is_nan(), "{bits:#06x}: {got}, not {want}");
    }
}

#[test]
fn every_half_survives_a_round_trip() {
    for bits in 0..=u16::MAX {
        let x = F16(bits.to_le_bytes()).to_f32();
        let back = store(x);
        assert!(
            back == bits || x.is_nan() && F16(back.to_le_bytes()).to_f32().is_nan(),
            "{bits:#06x} became {back:#06x}"
        );
    }
}

#[test]
fn singles_between_two_halves_round_to_the_nearest_half_to_even() {
    for bits in 0..0x7bff {
        let (low, high) = (half(bits), half(bits + 1));
        let middle = ((low + high) / 2.0) as f32;
        assert_eq!(f64::from(middle), (low + high) / 2.0);
        let even = if bits % 2 == 0 { bits } else { bits + 1 };
        assert_eq!(store(middle), even);
        assert_eq!(store(-middle), even | 0x8000);
        assert_eq!(store(middle.next_down()), bits);
        assert_eq!(store(middle.next_up()), bits + 1);
    }
    assert_eq!(store(65519.996), 0x7bff);
    assert_eq!(store(65520.0), 0x7c00);
    assert_eq!(store(f32::MAX), 0x7c00);
}

#[test]
fn every_bf16_is_the_upper_half_of_a_single() {
    for bits in 0..=u16::MAX {
        let got = BF16(bits.to_le_bytes()).to_f32();
        let want = f32::from_le_bytes([0, 0, bits as u8, (bits >> 8) as u8]);
        assert!(got.to_bits() == want.to_bits());
    }
}
