// SPDX-License-Identifier: Apache-2.0
// How many objects of each of Apple's classes are alive.
#pragma once

namespace mvm::vz_double {

// A member of an object: counted from begin() until it dies with the object.
class Alive {
 public:
  Alive() = default;
  Alive(const Alive&) = delete;
  Alive& operator=(const Alive&) = delete;
  ~Alive();

  // class_name lives as long as the process, as a class's does.
  void begin(const char* class_name);

 private:
  const char* class_name_ = nullptr;
};

}  // namespace mvm::vz_double
