// The pickle machine builds what checkpoints hold and refuses the rest by name, at little cost.
#include "checkpoint/pickle.h"

#include "support.h"

namespace riverrun::checkpoint {
namespace {

// The message with which that pickle is refused.
std::string refusal(const std::string& bytes) {
  try {
    const Pickle read(std::as_bytes(std::span(bytes)), "x.pth: a/data.pkl");
    return concat("accepted as ", describe(read.top()));
  } catch (const InputError& error) {
    return error.what();
  }
}

template <class T>
T read(const std::string& bytes) {
  const Pickle pickle(std::as_bytes(std::span(bytes)), "x");
  return std::get<T>(pickle.top());
}

TEST(Pickle, NumbersAndStringsHaveTheirValues) {
  using namespace std::string_literals;
  EXPECT_EQ(read<Index>("\x80\x02J\xfe\xff\xff\xff."s), -2);
  EXPECT_EQ(read<Index>("\x80\x02K\xff."s), 255);
  EXPECT_EQ(read<Index>("\x80\x02M\xff\xff."s), 65535);
  EXPECT_EQ(read<Index>("\x80\x02\x8a\x00."s), 0);
  EXPECT_EQ(read<Index>("\x80\x02\x8a\x01\xff."s), -1);
  EXPECT_EQ(read<Index>("\x80\x02\x8a\x02\xff\x00."s), 255);
  EXPECT_EQ(read<Index>("\x80\x02\x8a\x05\x00\x00\x00\x00\x01."s), Index{1} << 32);
  EXPECT_EQ(read<Index>("\x80\x02\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x80."s), INT64_MIN);
  EXPECT_EQ(read<double>("\x80\x02G\x3f\xf8\x00\x00\x00\x00\x00\x00."s), 1.5);
  const std::string text = "\x80\x02U\x03"s + "a\nb.", wide = "\x80\x02X\x02\x00\x00\x00\xc3\xa9."s;
  EXPECT_EQ(read<std::string_view>(text), "a\nb");
  EXPECT_EQ(read<std::string_view>(wide), "\xc3\xa9");
}

TEST(Pickle, MemoGivesBackTheSameObject) {
  const std::string bytes = "\x80\x02]q\x05h\x05" + std::string("r\x01\x00\x00\x00", 5) + "a" +
                            std::string("j\x01\x00\x00\x00", 5) + ".";
  const Pickle pickle(std::as_bytes(std::span(bytes)), "x");
  auto* const list = std::get<PickleSequence*>(pickle.top());
  ASSERT_EQ(list->items.size(), 1u);
  EXPECT_EQ(std::get<PickleSequence*>(list->items[0]),
            list);  // a list that holds itself neither hangs nor leaks
}

TEST(Pickle, WhatCouldRunCodeIsRefusedByName) {
  EXPECT_EQ(refusal("\x80\x02"
                    "cos\nsystem\n(X\x02\0\0\0lstR."),
            "x.pth: a/data.pkl asks for os.system, which no checkpoint of tensors needs; it is refused (at "
            "byte 2)");
  for (const std::string name :
       {"builtins\neval", "posix\nsystem", "torch\nload", "torch.nn.modules\nLinear",
        "collections\ndefaultdict", "torch._utils\n_rebuild_tensor", "numpy\nndarray"}) {
    EXPECT_NE(refusal("\x80\x02"
                      "c" +
                      name + "\n.")
                  .find("it is refused"),
              std::string::npos)
        << name;
  }
}

TEST(Pickle, EveryOpcodeOutsideTheListIsRefusedByNumber) {
  const std::string known = "(.JKMNQRUXabcehjqrstuG)]}\x80\x81\x85\x86\x87\x88\x89\x8a";
  int refused = 0;
  for (int opcode = 0; opcode < 256; ++opcode) {
    if (known.find(static_cast<char>(opcode)) != std::string::npos) continue;
    char hex[8];
    std::snprintf(hex, sizeof hex, "0x%02x", opcode);
    EXPECT_NE(
        refusal("\x80\x02" + std::string(1, static_cast<char>(opcode))).find(std::string("opcode ") + hex),
        std::string::npos);
    ++refused;
  }
  EXPECT_EQ(refused, 256 - static_cast<int>(known.size()));
}

TEST(Pickle, FunctionsAreOnlyAppliedToWhatTheyTake) {
  const std::string ordered = pickle::global("collections", "OrderedDict");
  const std::string rebuild = pickle::global("torch._utils", "_rebuild_tensor_v2");
  const std::string parameter = pickle::global("torch._utils", "_rebuild_parameter");
  const auto expect = [](const std::string& top, const std::string& words) {
    EXPECT_NE(refusal(pickle::file(top)).find(words), std::string::npos) << refusal(pickle::file(top));
  };
  expect(ordered + ")R", "accepted as a dict");
  expect(ordered + ")\x81", "accepted as a dict");
  expect(ordered + pickle::tuple({"]"}) + "R", "OrderedDict from arguments");
  expect(ordered + "NR", "None as a tuple of arguments");
  expect("N)R", "None as a function to call");
  expect(pickle::global("torch", "FloatStorage") + ")R", "a storage type as a function to call");
  expect(rebuild + ")R", "0 arguments");
  expect(rebuild + pickle::tuple({"N", "N", "N", "N"}) + "R", "None as the storage");
  expect(parameter + ")R", "parameter from nothing");
  expect(parameter + pickle::tuple({"N"}) + "R", "None as the tensor of a parameter");
  expect("NQ", "None as a persistent id");
  expect(")Q", "no ('storage'");
  expect(pickle::tuple({pickle::text("other"), "N", "N", "N", "N"}) + "Q", "no ('storage'");
  expect(pickle::tuple({pickle::text("storage"), "N", "N", "N", "N"}) + "Q", "None as the type of a storage");
  expect("N}b", "None as a dict that gets attributes");
}

TEST(Pickle, MalformedStacksAreRefused) {
  using namespace std::string_literals;
  for (const std::string& top :
       {""s,  "s"s,  "}s"s,  "}Ns"s, "u"s,     "}(Nu"s,  "t"s,      "(("s,  "(R"s,     "\x85"s, "N\x86"s,
        "a"s, "Na"s, ")Na"s, "N(e"s, "h\x01"s, "q\x01"s, "(q\x01"s, "N(."s, "N(\x85"s, "b"s,    "Q"s}) {
    EXPECT_NE(refusal("\x80\x02" + top + ".").find("x.pth: a/data.pkl"), std::string::npos) << top;
  }
  EXPECT_NE(refusal("\x80\x01N.").find("protocol 1"), std::string::npos);
  EXPECT_NE(refusal("\x80\x02\x8a\x09"
                    "123456789.")
                .find("9 bytes"),
            std::string::npos);
}

TEST(Pickle, EndingTooEarlyIsRefusedAnywhere) {
  const std::string whole = pickle::file(pickle::dict(
      {{"w", pickle::tensor(pickle::storage("FloatStorage", "0", 1), 0, {1}, {1})}, {"x", "G12345678"}}));
  EXPECT_EQ(refusal(whole), "accepted as a dict");
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_NE(refusal(whole.substr(0, size)).find("x.pth: a/data.pkl"), std::string::npos) << size;
  }
}

TEST(Pickle, SizesThatOnlyExistOnPaperCostNothing) {
  using namespace std::string_literals;
  EXPECT_NE(refusal("\x80\x02X\xff\xff\xff\xff"
                    "abc"s)
                .find("ends too early"),
            std::string::npos);
  EXPECT_NE(refusal("\x80\x02" + std::string(2000000, 'N')).find("entries in its stack"), std::string::npos);
  EXPECT_NE(refusal("\x80\x02" + std::string(2000000, '(')).find("entries in its nesting"),
            std::string::npos);
  std::string lists = "\x80\x02]";
  for (int i = 0; i < 1100000; ++i) lists += "]a";
  EXPECT_NE(refusal(lists).find("number of objects"), std::string::npos);
  std::string protocols;
  while (protocols.size() <= (16 << 20)) protocols += "\x80\x02";
  EXPECT_NE(refusal(protocols).find("larger than"), std::string::npos);
}

}  // namespace
}  // namespace riverrun::checkpoint
