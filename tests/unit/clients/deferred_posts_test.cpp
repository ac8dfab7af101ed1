// Posts that wait for their time.

#include "clients/deferred_posts.hpp"

#include <gtest/gtest.h>

#include <string>

namespace tollgate {
namespace {

using namespace std::chrono_literals;

constexpr DeferredPosts::Time kNow{1h};

DeferredPosts::Post post_of(const std::string& key, DeferredPosts::Time not_before) {
  DeferredPosts::Post post{not_before, {}, nullptr};
  post.batch.get(key);
  return post;
}

TEST(DeferredPostsTest, AreTakenWhenDueAndNotBefore) {
  DeferredPosts posts;
  EXPECT_EQ(posts.next_due(), std::nullopt);
  auto late = post_of("late", kNow + 2s);
  auto early = post_of("early", kNow + 1s);
  ASSERT_TRUE(posts.add(late));
  ASSERT_TRUE(posts.add(early));
  EXPECT_EQ(posts.next_due(), kNow + 1s);
  EXPECT_FALSE(posts.take_due(kNow).has_value());
  const auto taken = posts.take_due(kNow + 1s);
  ASSERT_TRUE(taken.has_value());
  EXPECT_EQ(taken->batch[0].key, "early");
  EXPECT_FALSE(posts.take_due(kNow + 1s).has_value());
  EXPECT_EQ(posts.next_due(), kNow + 2s);
}

TEST(DeferredPostsTest, AreBoundedAndARefusedOneIsUntouched) {
  DeferredPosts posts;
  for (std::size_t i = 0; i < DeferredPosts::kMaxPosts; ++i) {
    auto post = post_of("k", kNow);
    ASSERT_TRUE(posts.add(post));
  }
  auto refused = post_of("refused", kNow);
  EXPECT_FALSE(posts.add(refused));
  EXPECT_EQ(refused.batch[0].key, "refused");
}

}  // namespace
}  // namespace tollgate
