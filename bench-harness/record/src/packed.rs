//! Histograms in HdrHistogram's V2 encoding, for the way from a child and for storage in memory.
//!
//! An unpacked histogram takes some 200 KiB, and a run keeps more than a thousand. Every fork would copy the page
//! tables of all that.

use hdrhistogram::{
    Histogram,
    serialization::{Deserializer, Serializer, V2Serializer},
};
use serde::{Deserialize, Serialize, de::Error as _};

/// The encoded bytes of one histogram. They are known to decode.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Packed(Vec<u8>);

impl Packed {
    /// Packs `histogram`.
    pub fn of(histogram: &Histogram<u64>) -> Self {
        let mut bytes = Vec::new();
        V2Serializer::new().serialize(histogram, &mut bytes).expect("memory takes every byte, and counts fit");
        Self(bytes)
    }

    /// Unpacks the histogram.
    pub fn unpack(&self) -> Histogram<u64> {
        decode(&self.0).expect("it was packed here, or tried when it was read")
    }
}

/// The longest round trip that a histogram holds, in nanoseconds. A pair is given up long before.
const MAX_NS: u64 = 60_000_000_000;

/// An empty histogram of nanoseconds with three significant digits. Its bounds are fixed, so it never resizes while
/// measuring.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MAX_NS, 3).expect("the bounds are constants")
}

fn decode(mut bytes: &[u8]) -> Result<Histogram<u64>, hdrhistogram::serialization::DeserializeError> {
    Deserializer::new().deserialize(&mut bytes)
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let bytes = Vec::deserialize(from)?;
        decode(&bytes).map_err(D::Error::custom)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_out_again_and_is_small() {
        let mut full = histogram();
        let mut random = fastrand::Rng::with_seed(3);
        (0..10_000).for_each(|_| full.record(random.u64(3_000..40_000)).unwrap());
        let packed = Packed::of(&full);
        assert!(packed.0.len() < 16 << 10, "{} bytes", packed.0.len());
        assert_eq!(packed.unpack(), full);
        let text = serde_json::to_vec(&packed).unwrap();
        assert_eq!(serde_json::from_slice::<Packed>(&text).unwrap(), packed);
    }

    #[test]
    fn what_is_no_histogram_is_not_read() {
        for text in ["[]", "[1, 2, 3]", "\"text\""] {
            assert!(serde_json::from_str::<Packed>(text).is_err(), "{text}");
        }
    }
}
