#pragma once

#include <opsdb/v1/write.pb.h>
#include <opsdb/value.h>

#include <string>
#include <utility>

namespace opsdb {

/** One change of one row, made by insert, update, upsert or remove. */
class Mutation {
 public:
  explicit Mutation(v1::Mutation mutation) : proto_(std::move(mutation)) {}

  /** The write is rejected with PRECONDITION_FAILED unless the row exists when the write is applied. */
  Mutation if_exists() && { return std::move(*this).if_row(true); }
  /** ... unless it does not exist. */
  Mutation if_missing() && { return std::move(*this).if_row(false); }
  /** ... unless it exists and these columns have these values; NULL equals NULL. */
  Mutation if_equal(const Columns& columns) && {
    set(*proto_.add_preconditions()->mutable_columns_equal()->mutable_values(), columns);
    return std::move(*this);
  }

  const v1::Mutation& proto() const { return proto_; }

  template <class ProtoMap>
  static void set(ProtoMap& to, const Columns& columns) {
    for (const auto& [name, value] : columns) to[name] = value.proto();
  }

 private:
  Mutation if_row(bool exists) && {
    proto_.add_preconditions()->set_row_exists(exists);
    return std::move(*this);
  }

  v1::Mutation proto_;
};

/** Adds a row. Columns left out take their default, which the answer to the write has. An existing key is an error. */
inline Mutation insert(std::string table, const Columns& values) {
  v1::Mutation made;
  made.set_table(std::move(table));
  Mutation::set(*made.mutable_insert()->mutable_values(), values);
  return Mutation(std::move(made));
}

/** Changes columns of the row with this primary key. A missing row is an error. */
inline Mutation update(std::string table, const Columns& key, const Columns& values) {
  v1::Mutation made;
  made.set_table(std::move(table));
  Mutation::set(*made.mutable_update()->mutable_key(), key);
  Mutation::set(*made.mutable_update()->mutable_values(), values);
  return Mutation(std::move(made));
}

/** Adds the row, or changes these columns of the one that exists. The values include the primary key. */
inline Mutation upsert(std::string table, const Columns& values) {
  v1::Mutation made;
  made.set_table(std::move(table));
  Mutation::set(*made.mutable_upsert()->mutable_values(), values);
  return Mutation(std::move(made));
}

/** Deletes the row with this primary key. A missing row is no error. */
inline Mutation remove(std::string table, const Columns& key) {
  v1::Mutation made;
  made.set_table(std::move(table));
  Mutation::set(*made.mutable_delete_()->mutable_key(), key);
  return Mutation(std::move(made));
}

}  // namespace opsdb
