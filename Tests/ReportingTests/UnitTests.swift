import Reporting
import Testing

@Suite struct UnitTests {
    @Test(arguments: [
        (0, "0 B"), (1023, "1023 B"), (1024, "1.00 KiB"), (1536, "1.50 KiB"), (10_234, "9.99 KiB"),
        (10_239, "10.0 KiB"),
        (1_048_064, "1.00 MiB"), (1_047_552, "1023 KiB"), (12_897_485, "12.3 MiB"), (524_288_000, "500 MiB"),
        (3 << 30, "3.00 GiB"), (Int.max, "8.00 EiB"),
    ])
    func printsSizesWithThreeDigits(byteCount: Int, text: String) {
        #expect(ByteSize(byteCount).description == text)
    }

    @Test(arguments: [
        (0, "0B"), (9999, "9999B"), (10_000, "10KiB"), (10_241, "11KiB"), (1_246_000, "1217KiB"),
        (10_238_977, "10MiB"), (12 << 20, "12MiB"), ((12 << 20) + 1, "13MiB"),
    ])
    func roundsSizesUp(byteCount: Int, text: String) {
        #expect(ByteSize(byteCount).roundedUp == text)
        #expect((ByteSize(parsing: text)?.byteCount ?? 0) >= byteCount)
    }

    @Test(
        arguments: [
            ("512", 512), ("512B", 512), ("512M", 536_870_912), ("2GiB", 2_147_483_648), ("1.5G", 1_610_612_736),
            ("1.5 gib", 1_610_612_736), ("100KB", 100_000), ("5gb", 5_000_000_000), ("0.1k", 102),
            ("2T", 2_199_023_255_552),
            ("0", 0), ("7E", nil), ("8PiB", 9_007_199_254_740_992), ("9223372036854775807", Int.max),
            ("9223372036854775808", nil), ("9000000P", nil), ("", nil), ("M", nil), ("-1", nil), (".5G", nil),
            ("1.G", nil),
            ("1.2.3", nil), ("1e9", nil), ("1 000", nil), ("5Gi", nil), ("٣", nil), ("1.٣K", nil),
        ] as [(String, Int?)])
    func readsSizes(text: String, byteCount: Int?) {
        #expect(ByteSize(parsing: text)?.byteCount == byteCount)
    }

    @Test(arguments: [
        (0.0, "0.00 ms"), (0.0042, "4.20 ms"), (0.4242, "424 ms"), (0.9996, "1.00 s"), (9.996, "10.0 s"),
        (12.34, "12.3 s"), (59.94, "59.9 s"),
        (59.96, "1 min 00 s"), (185, "3 min 05 s"), (3599.6, "1 h 00 min"), (7380, "2 h 03 min"),
    ])
    func printsDurations(seconds: Double, text: String) {
        #expect(Duration.seconds(seconds).readable == text)
    }

    @Test func groupsThousands() {
        #expect([0, 12, 999, 1000, -1_234_567].map(\.grouped) == ["0", "12", "999", "1,000", "-1,234,567"])
        #expect(UInt64.max.grouped == "18,446,744,073,709,551,615")
        #expect(Int.min.grouped == "-9,223,372,036,854,775,808")
    }

    @Test func digitsThatNobodyReadsAreAnExponent() {
        #expect(
            [12.3456, -0.00001, 123_456_789, 5.0000000549e29].map { $0.decimals(3) } == [
                "12.346", "0.000", "123456789.000", "5e+29",
            ])
        #expect((-Double.infinity).decimals(1) == "-inf" && 1e20.percent == "1e+22 %")
    }

    @Test func shortensNumbers() {
        #expect(0.012345678.short() == "0.01235")
        #expect((-1.5e-7).short() == "-1.5e-07")
        #expect(Double.nan.short() == "nan" && (-Double.nan).short() == "nan" && (-Double.infinity).short() == "-inf")
    }
}
