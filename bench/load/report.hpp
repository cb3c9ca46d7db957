// What the generator tells: flags in, progress on stderr, one line of JSON out, CPU of itself and of the server.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "loop.hpp"

/** `--name value` pairs after the mode. */
class Options {
 public:
  Options(int count, char** arguments);
  size_t number(const char* name, size_t fallback);
  double real(const char* name, double fallback);
  std::string text(const char* name, const std::string& fallback);
  bool flag(const char* name);
  /** Fails on an option that no mode asked for. */
  void refuseUnknown() const;

 private:
  const std::string* find(const char* name);
  std::map<std::string, std::string> values_;
  std::map<std::string, bool> used_;
};

/** At most one line a second, on stderr. */
class Progress {
 public:
  void tell(const char* format, ...) __attribute__((format(printf, 2, 3)));

 private:
  int64_t lastNs_ = clockNs();
};

/** User and system seconds of this process. */
double ownCpuSeconds();

/** Processes of the server, to measure between two moments; empty: not asked for. */
class ServerMeter {
 public:
  explicit ServerMeter(const std::string& pids);
  bool isOn() const { return !pids_.empty(); }
  /** User and system seconds of all of them; in steps of 10 ms. */
  double cpuSeconds() const;
  uint64_t residentBytes() const;

 private:
  std::vector<std::string> pids_;
};

/** One JSON object, printed on one line. */
class Report {
 public:
  explicit Report(const char* mode) { add("mode", mode); }
  void add(const char* name, const char* value);
  void add(const char* name, const std::string& value) { add(name, value.c_str()); }
  void add(const char* name, double value);
  void add(const char* name, uint64_t value);
  void addCount(const char* name, size_t value) { add(name, static_cast<uint64_t>(value)); }
  /** p50, p99, p99.9 and max, in milliseconds. Sorts `samplesNs`. */
  void addLatency(const char* name, std::vector<int64_t>& samplesNs);
  void print() const;

 private:
  void key(const char* name);
  std::string text_;
};

/** Between `begin` and `end`: time, own CPU, the server's CPU; `messages` makes them rates. */
class Measurement {
 public:
  explicit Measurement(const ServerMeter& server) : server_(server) {}
  void begin();
  void end() { endAt(clockNs()); }
  void endAt(int64_t nowNs);
  double seconds() const { return static_cast<double>(endNs_ - beginNs_) / 1e9; }
  int64_t beginNs() const { return beginNs_; }
  void addTo(Report& report, uint64_t messages) const;

 private:
  const ServerMeter& server_;
  int64_t beginNs_ = 0;
  int64_t endNs_ = 0;
  double ownCpu_ = 0;
  double serverCpu_ = 0;
};
