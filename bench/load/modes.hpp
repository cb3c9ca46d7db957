// The modes of the generator and what they share.
#pragma once

#include <string>

#include "client.hpp"
#include "report.hpp"

/** Read from the options that every mode knows. */
struct Common {
  explicit Common(Options& options);

  ClientOptions client(const std::string& id, bool isClean, const std::string& filter = "", int qos = 1) const;
  std::string deviceId(size_t index) const { return prefix + "-d" + std::to_string(index); }
  std::string topicOf(size_t index) const { return prefix + "/d/" + std::to_string(index); }

  Loop loop;
  Address address;
  mqtt::Version version;
  /** Begins every client id and topic, so that runs on one server do not meet. */
  std::string prefix;
  size_t connectsInFlight;
  size_t payloadBytes;
  /** For a phase of the run that makes no progress of its own any more. */
  int64_t timeoutNs;
  /** MQTT 5 only. */
  uint16_t receiveMaximum;
  ServerMeter server;
};

int runNull(Options& options);
int runPairs(Options& options);
int runAbsent(Options& options);
int runDrain(Options& options);
int runFanout(Options& options);
int runLatency(Options& options);
int runStuck(Options& options);
int runConnects(Options& options);
int runIdle(Options& options);
