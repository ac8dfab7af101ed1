#include "values/url.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <string>

#include "unit/values/error_text.hpp"

namespace tollgate {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

std::string rejected(std::string_view text) {
  return rejection([text] { static_cast<void>(Url::parse(text)); });
}

TEST(Url, ReadsHostPortAndDatabase) {
  const Url url = Url::parse("redis://cache.example.com:6380/7");
  EXPECT_EQ(url.scheme(), Url::Scheme::kRedis);
  EXPECT_EQ(url.host(), "cache.example.com");
  EXPECT_EQ(url.port(), 6380);
  EXPECT_EQ(url.database(), 7);
  EXPECT_EQ(url.username(), "");
  EXPECT_EQ(url.password(), std::nullopt);
  EXPECT_EQ(url.connect_timeout(), std::nullopt);
  EXPECT_EQ(url.command_timeout(), std::nullopt);
}

TEST(Url, DefaultsToRedissPortAndTheFirstDatabase) {
  for (const char* text :
       {"redis://cache", "redis://cache/", "redis://cache/0", "redis://cache:6379", "redis://cache?"}) {
    const Url url = Url::parse(text);
    EXPECT_EQ(url.host(), "cache") << text;
    EXPECT_EQ(url.port(), 6379) << text;
    EXPECT_EQ(url.database(), 0) << text;
  }
}

TEST(Url, MeansLocalhostWhereNoHostIsNamed) {
  EXPECT_EQ(Url::parse("redis://").host(), "localhost");
  EXPECT_EQ(Url::parse("redis:///2").host(), "localhost");
  EXPECT_EQ(Url::parse("redis:///2").database(), 2);
  EXPECT_EQ(Url::parse("redis://?command_timeout_ms=5").host(), "localhost");
}

TEST(Url, ComparesTheSchemeWithoutCase) {
  EXPECT_EQ(Url::parse("REDIS://h").scheme(), Url::Scheme::kRedis);
  EXPECT_EQ(Url::parse("RedisS://h").scheme(), Url::Scheme::kRediss);
  EXPECT_EQ(Url::parse("ValKey://h").scheme(), Url::Scheme::kRedis);
  EXPECT_EQ(Url::parse("Unix:///s").scheme(), Url::Scheme::kUnix);
  EXPECT_EQ(Url::parse("Memory://").scheme(), Url::Scheme::kMemory);
}

TEST(Url, TakesValkeyForASynonymOfRedis) {
  EXPECT_EQ(Url::parse("valkey://app:pw@cache:6380/7").to_string(), "redis://cache:6380/7");
  EXPECT_EQ(Url::parse("valkeys://cache").to_string(), "rediss://cache:6379/0");
}

TEST(Url, ReadsTheDatabaseFromItsQuery) {
  for (const char* text :
       {"redis://h?db=3", "redis://h/?db=3", "redis://h/3?db=3", "redis://h/3?db=03", "redis:///?db=3",
        "rediss://h?connect_timeout_ms=5&db=3", "valkey://h?db=3&connect_timeout_ms=5"}) {
    EXPECT_EQ(Url::parse(text).database(), 3) << text;
  }
  EXPECT_EQ(Url::parse("redis://h?db=0").database(), 0);
  EXPECT_EQ(Url::parse("redis://h?db=2147483647").database(), 2147483647);
}

TEST(Url, RejectsTwoDatabasesThatDiffer) {
  EXPECT_EQ(rejected("redis://h/3?db=4"),
            "tollgate: url has database 3 in its path and 4 in its query; it must have one of them, or the same twice");
  EXPECT_THAT(rejected("redis://h/0?db=4"), HasSubstr("database 0 in its path and 4 in its query"));
  EXPECT_THAT(rejected("redis://h/4?db=0"), HasSubstr("database 4 in its path and 0 in its query"));
}

TEST(Url, ReadsUserAndPassword) {
  const Url url = Url::parse("rediss://app:s3cret@cache:6380/1");
  EXPECT_EQ(url.scheme(), Url::Scheme::kRediss);
  EXPECT_EQ(url.username(), "app");
  EXPECT_EQ(url.password(), "s3cret");
  EXPECT_EQ(url.host(), "cache");
}

TEST(Url, ReadsAPasswordWithoutUser) {
  const Url url = Url::parse("redis://:s3cret@cache");
  EXPECT_EQ(url.username(), "");
  EXPECT_EQ(url.password(), "s3cret");
}

TEST(Url, DistinguishesAnEmptyPasswordFromNone) {
  for (const char* text : {"redis://app:@cache", "valkeys://app:@cache", "unix://app:@/s"}) {
    EXPECT_EQ(Url::parse(text).username(), "app") << text;
    EXPECT_EQ(Url::parse(text).password(), "") << text;
  }
  for (const char* text : {"redis://@cache", "redis://:@cache", "unix://@/s", "unix://:@/s"}) {
    EXPECT_EQ(Url::parse(text).username(), "") << text;
    EXPECT_EQ(Url::parse(text).password(), std::nullopt) << text;
  }
}

TEST(Url, ReadsAUserWithoutPassword) {
  for (const char* text : {"redis://a%70p@cache:6380/1", "rediss://app@cache", "unix://app@/s"}) {
    EXPECT_EQ(Url::parse(text).username(), "app") << text;
    EXPECT_EQ(Url::parse(text).password(), std::nullopt) << text;
  }
  EXPECT_EQ(Url::parse("redis://app@cache:6380/1").host(), "cache");
}

TEST(Url, KeepsColonsInThePassword) { EXPECT_EQ(Url::parse("redis://app:a:b:c@cache").password(), "a:b:c"); }

TEST(Url, DecodesEveryPart) {
  const Url url = Url::parse("redis://a%40b:%3a%2F%3f%23%25%c3%a9@c%61che:6380/%31%32?%63ommand_timeout_ms=%35");
  EXPECT_EQ(url.username(), "a@b");
  EXPECT_EQ(url.password(), ":/?#%\xc3\xa9");
  EXPECT_EQ(url.host(), "cache");
  EXPECT_EQ(url.database(), 12);
  EXPECT_EQ(url.command_timeout(), 5ms);
  EXPECT_EQ(Url::parse("unix:///a%20b%3Fc").path(), "/a b?c");
}

TEST(Url, LeavesAPlusSignAlone) { EXPECT_EQ(Url::parse("redis://:a+b@cache").password(), "a+b"); }

TEST(Url, ReadsIpv6InBrackets) {
  EXPECT_EQ(Url::parse("redis://[::1]").host(), "::1");
  const Url url = Url::parse("redis://app:pw@[2001:db8::7]:6380/3");
  EXPECT_EQ(url.host(), "2001:db8::7");
  EXPECT_EQ(url.port(), 6380);
  EXPECT_EQ(url.database(), 3);
  EXPECT_EQ(Url::parse("redis://[fe80::1%25eth0]:1").host(), "fe80::1%eth0");
}

TEST(Url, ReadsTheEdgesOfItsNumbers) {
  EXPECT_EQ(Url::parse("redis://h:1").port(), 1);
  EXPECT_EQ(Url::parse("redis://h:65535").port(), 65535);
  EXPECT_EQ(Url::parse("redis://h/2147483647").database(), 2147483647);
  EXPECT_EQ(Url::parse("unix:///s?db=2147483647").database(), 2147483647);
  EXPECT_EQ(Url::parse("redis://h?connect_timeout_ms=1").connect_timeout(), 1ms);
  EXPECT_EQ(Url::parse("redis://h?connect_timeout_ms=3600000").connect_timeout(), 1h);
}

TEST(Url, ReadsTimeoutsOfEveryNetworkScheme) {
  for (const char* text : {"redis://h/1?connect_timeout_ms=700&command_timeout_ms=30",
                           "rediss://h?command_timeout_ms=30&connect_timeout_ms=700",
                           "unix:///s?db=1&connect_timeout_ms=700&command_timeout_ms=30"}) {
    const Url url = Url::parse(text);
    EXPECT_EQ(url.connect_timeout(), 700ms) << text;
    EXPECT_EQ(url.command_timeout(), 30ms) << text;
  }
}

TEST(Url, ReadsAUnixSocket) {
  const Url url = Url::parse("unix:///run/redis/redis.sock?db=3");
  EXPECT_EQ(url.scheme(), Url::Scheme::kUnix);
  EXPECT_EQ(url.path(), "/run/redis/redis.sock");
  EXPECT_EQ(url.database(), 3);
  EXPECT_EQ(Url::parse("unix:///run/redis.sock").database(), 0);
  EXPECT_EQ(Url::parse("unix:///run/a@b.sock").path(), "/run/a@b.sock");
}

TEST(Url, LogsInOnAUnixSocket) {
  const Url url = Url::parse("unix://app:s3cret@/run/redis.sock");
  EXPECT_EQ(url.username(), "app");
  EXPECT_EQ(url.password(), "s3cret");
  EXPECT_EQ(url.path(), "/run/redis.sock");
  EXPECT_EQ(Url::parse("unix://:s3cret@/run/redis.sock").password(), "s3cret");
}

TEST(Url, ReadsTheStoreInMemory) { EXPECT_EQ(Url::parse("memory://").scheme(), Url::Scheme::kMemory); }

TEST(Url, WritesItselfWithoutCredentials) {
  EXPECT_EQ(Url::parse("redis://app:s3cret@Cache:6380/7?command_timeout_ms=9").to_string(), "redis://Cache:6380/7");
  EXPECT_EQ(Url::parse("rediss://:s3cret@[::1]").to_string(), "rediss://[::1]:6379/0");
  EXPECT_EQ(Url::parse("redis://s3cret@cache").to_string(), "redis://cache:6379/0");
  EXPECT_EQ(Url::parse("redis://").to_string(), "redis://localhost:6379/0");
  EXPECT_EQ(Url::parse("unix://app:s3cret@/run/redis.sock?db=3").to_string(), "unix:///run/redis.sock?db=3");
  EXPECT_EQ(Url::parse("memory://").to_string(), "memory://");
}

TEST(Url, ReadsWhatItWrote) {
  for (const char* text : {"redis://[fe80::1%25eth0]:1/2", "redis://h%C3%A9:6380/7", "unix:///a%20b%0A%3Fc%25?db=3"}) {
    EXPECT_EQ(Url::parse(text).to_string(), text);
  }
}

TEST(HostAndPort, WritesAReportedHostWithoutControlCharacters) {
  EXPECT_EQ((HostAndPort{"fe80::1%eth0", 6379}).to_string(), "[fe80::1%25eth0]:6379");
  EXPECT_EQ((HostAndPort{"a\r\nb", 1}).to_string(), "a%0D%0Ab:1");
  EXPECT_EQ((HostAndPort{"::\n%0\x1b[2J]", 1}).to_string(), "[::%0A%250%1B%5B2J%5D]:1");
}

TEST(Url, RejectsATextWithoutScheme) {
  for (const char* text : {"", "redis", "redis:", "redis:/cache", "localhost:6379", "://cache", " redis://cache"}) {
    EXPECT_THAT(rejected(text), AllOf(StartsWith("tollgate: url has no scheme; "), HasSubstr("redis://"))) << text;
  }
}

TEST(Url, RejectsAnUnknownScheme) {
  EXPECT_EQ(
      rejected("http://cache"),
      "tollgate: url scheme is \"http\"; it must start with redis://, rediss://, valkey:// or valkeys://, the same "
      "with +sentinel or +cluster before its colon, unix:// or memory://");
  for (const char* text : {"redis+http://cache", "unix+cluster:///s", "memory+sentinel://", "redis+://h",
                           "+cluster://h", "redis+cluster+sentinel://h/s", "redis+clusters://h"}) {
    EXPECT_THAT(rejected(text), StartsWith("tollgate: url scheme is \"")) << text;
  }
}

TEST(Url, RejectsAnythingBehindMemory) {
  for (const char* text :
       {"memory://x", "memory:///", "memory:///0", "memory://?db=1", "memory://:pw@", "memory://#"}) {
    EXPECT_THAT(rejected(text), HasSubstr("nothing may follow it")) << text;
  }
}

TEST(Url, RejectsAnEmptyHostBesideOtherParts) {
  for (const char* text : {"redis://:6379", "redis://app:pw@", "redis://:pw@:6379", "redis://app:pw@/1", "redis://@"}) {
    EXPECT_EQ(rejected(text), "tollgate: url host is 0 bytes long; it must be 1 … 255 bytes") << text;
  }
}

TEST(Url, RejectsAHostThatCannotBeOne) {
  for (const char* text : {"redis://ca che", "redis://cache\n", "redis://a%2Fb", "redis://a%3Ab", "redis://a%40b",
                           "redis://a\\b", "redis://a]", "redis://a%2Cb"}) {
    EXPECT_THAT(rejected(text), StartsWith("tollgate: url host has an invalid character")) << text;
  }
  EXPECT_EQ(Url::parse("redis://" + std::string(255, 'h')).host().size(), 255U);
  EXPECT_EQ(rejected("redis://" + std::string(256, 'h')),
            "tollgate: url host is 256 bytes long; it must be 1 … 255 bytes");
}

TEST(Url, RejectsABrokenIpv6Address) {
  for (const char* text : {"redis://[]", "redis://[::1", "redis://[1.2.3.4]", "redis://[cache]", "redis://[::1]x",
                           "redis://[::1]6379", "redis://[::g]", "redis://[fe80::1%25]", "redis://[fe80::1%25a/b]"}) {
    EXPECT_THAT(rejected(text), StartsWith("tollgate: url host ")) << text;
  }
  EXPECT_THAT(rejected("redis://::1"), HasSubstr("with an IPv6 address in [ ]"));
}

TEST(Url, RejectsAPortOutOfRange) {
  EXPECT_EQ(rejected("redis://h:0"), "tollgate: url port is 0; it must be 1 … 65535");
  EXPECT_EQ(rejected("redis://h:65536"), "tollgate: url port is 65536; it must be 1 … 65535");
  EXPECT_EQ(rejected("redis://h:655350"), "tollgate: url port has 6 digits; it must be 1 … 65535");
}

TEST(Url, RejectsAPortThatIsNoNumber) {
  for (const char* text : {"redis://h:", "redis://h:x", "redis://h:6379x", "redis://h:+1", "redis://h:-1",
                           "redis://h: 1", "redis://h:1 ", "redis://h:0x10", "redis://[::1]:", "redis://h:%36"}) {
    EXPECT_EQ(rejected(text), "tollgate: url port is not a decimal number; it must be 1 … 65535") << text;
  }
}

TEST(Url, RejectsADatabaseOutOfRange) {
  EXPECT_EQ(rejected("redis://h/2147483648"), "tollgate: url database is 2147483648; it must be 0 … 2147483647");
  EXPECT_EQ(rejected("unix:///s?db=2147483648"), "tollgate: url db is 2147483648; it must be 0 … 2147483647");
  for (const char* text :
       {"redis://h/x", "redis://h/-1", "redis://h/1/", "redis://h/0/1", "redis://h//1", "redis://h/0\n"}) {
    EXPECT_EQ(rejected(text), "tollgate: url database is not a decimal number; it must be 0 … 2147483647") << text;
  }
  EXPECT_THAT(rejected("unix:///s?db="), HasSubstr("db is not a decimal number"));
  EXPECT_THAT(rejected("unix:///s?db"), HasSubstr("db is not a decimal number"));
}

TEST(Url, RejectsTimeoutsOutOfRange) {
  EXPECT_EQ(rejected("redis://h?command_timeout_ms=0"),
            "tollgate: url command_timeout_ms is 0; it must be 1 … 3600000");
  EXPECT_EQ(rejected("redis://h?connect_timeout_ms=3600001"),
            "tollgate: url connect_timeout_ms is 3600001; it must be 1 … 3600000");
  EXPECT_THAT(rejected("redis://h?command_timeout_ms=-5"), HasSubstr("command_timeout_ms is not a decimal number"));
  EXPECT_THAT(rejected("redis://h?command_timeout_ms=99999999999999999999"), HasSubstr("has 20 digits"));
  EXPECT_THAT(rejected("redis://h?command_timeout_ms=1.5"), HasSubstr("not a decimal number"));
}

TEST(Url, RejectsUnknownQuerySettings) {
  EXPECT_EQ(rejected("redis://h?timeout=5"),
            "tollgate: url query has \"timeout\"; it may have connect_timeout_ms, command_timeout_ms and db");
  EXPECT_THAT(rejected("redis://h/1?command_timeout_ms=5&"), HasSubstr("query has \"\""));
  EXPECT_THAT(rejected("redis://h?Command_Timeout_Ms=5"), HasSubstr("query has an unknown name"));
  EXPECT_THAT(rejected("redis://h?command_timeout_ms=5&command_timeout_ms=5"),
              HasSubstr("query has command_timeout_ms twice"));
  EXPECT_THAT(rejected("unix:///s?db=1&db=1"), HasSubstr("query has db twice"));
  EXPECT_THAT(rejected("redis://h?db=1&db=1"), HasSubstr("query has db twice"));
}

TEST(Url, RejectsAUnixSocketWithoutPath) {
  for (const char* text : {"unix://", "unix:///", "unix://?db=1", "unix://app:pw@"}) {
    EXPECT_THAT(rejected(text), StartsWith("tollgate: url path of the socket is ")) << text;
  }
  for (const char* text : {"unix://run/redis.sock", "unix://cache:6379", "unix://app:pw@host/run/redis.sock"}) {
    EXPECT_THAT(rejected(text), HasSubstr("does not start with a slash")) << text;
  }
}

TEST(Url, RejectsAUnixPathThatTheKernelCannotHold) {
  EXPECT_EQ(Url::parse("unix:///" + std::string(106, 's')).path().size(), 107U);
  EXPECT_EQ(rejected("unix:///" + std::string(107, 's')),
            "tollgate: url path of the socket is 108 bytes long; it must be 2 … 107 bytes");
}

TEST(Url, RejectsBadPercentEscapes) {
  for (const char* text :
       {"redis://%", "redis://a%2", "redis://a%zz", "redis://a%2g", "redis://a:%@h", "redis://a%:b@h", "redis://h/%",
        "redis://h?a%=1", "unix:///s%x", "redis://[fe80::1%eth0]", "redis://%+1"}) {
    EXPECT_THAT(rejected(text), HasSubstr("has a % without two hex digits")) << text;
  }
}

TEST(Url, RejectsNulBytes) {
  using namespace std::string_literals;
  for (const std::string& text : {"redis://a\0b"s, "redis://a%00b"s, "redis://:a%00@h"s, "redis://a%00:b@h"s,
                                  "unix:///s%00"s, "redis://:a\0b@h"s}) {
    EXPECT_THAT(rejected(text), HasSubstr("has a NUL byte")) << text;
  }
}

TEST(Url, RejectsAFragment) {
  EXPECT_EQ(rejected("redis://h/1#x"), "tollgate: url has a #; write it as %23");
  EXPECT_EQ(rejected("unix:///s#x"), "tollgate: url has a #; write it as %23");
}

TEST(Url, NeverPrintsAPasswordWhereverItIs) {
  for (const char* text : {"hunter2",
                           ":hunter2@h",
                           "user:hunter2@h:6379",
                           "redis:/:hunter2@h",
                           "redis:user:hunter2@h://",
                           "http:hunter2://h",
                           "redis://hunter2@h:x",
                           "redis+sentinel://user:hunter2@h",
                           "redis://user:hunter2@h/1?db=2",
                           "redis://user:hunter2",
                           "redis://:hunter2",
                           "redis://user:hunter2:6379",
                           "redis://user:hunter2/0",
                           "redis://user:hunter2/0@h",
                           "redis://user:hun/ter2hunter2@h",
                           "redis://user:pw#hunter2@h",
                           "redis://user:pw?hunter2@h",
                           "redis://user:1?hunter2@h",
                           "redis://user:1/hunter2@h",
                           "redis://user:p@w/hunter2@h",
                           "redis://user:hunter2@@h",
                           "redis://user@hunter2@h",
                           "redis://user:p@hunter2@h",
                           "redis://user:hunter2@",
                           "redis://user:hunter2@:1",
                           "redis://user:hunter2@h:x",
                           "redis://user:hunter2@h:99999",
                           "redis://user:hunter2%@h",
                           "redis://user:hunter2%00@h",
                           "redis://user:hunter2@h/x",
                           "redis://user:hunter2@h?x=1",
                           "redis://[hunter2",
                           "redis://[user:hunter2]",
                           "redis://[::1]hunter2",
                           "redis://my hunter2",
                           "redis://user:pw@h:hunter2",
                           "redis://h/hunter2",
                           "redis://h?hunter2",
                           "redis://h?Hunter2=1",
                           "redis://h?command_timeout_ms=hunter2",
                           "redis://h#hunter2",
                           "memory://:hunter2@h",
                           "memory://hunter2",
                           "unix://:hunter2/s",
                           "unix://hunter2@/",
                           "unix://user:hunter2@h/s",
                           "unix://user:hunter2@/",
                           "unix://user:hunter2@/s?x=1",
                           "unix:///s?password=hunter2"}) {
    EXPECT_THAT(rejected(text),
                AllOf(StartsWith("tollgate: url "), Not(HasSubstr("hunter2")), Not(HasSubstr("Hunter2"))))
        << text;
  }
  EXPECT_THAT(rejected("redis://user:31415926535"), Not(HasSubstr("31415926535")));
}

}  // namespace
}  // namespace tollgate
