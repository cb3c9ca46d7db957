// An MQTT client as a state of its connection, and a fleet of them that connects with so many under way at once.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "loop.hpp"
#include "mqtt.hpp"

struct ClientOptions {
  mqtt::Version version = mqtt::kV311;
  mqtt::ConnectOptions connect;
  /** Subscribed to right after CONNACK; empty: nothing. */
  std::string filter;
  int qos = 1;
};

class Fleet;

class Client : public Connection {
 public:
  Client(Loop& loop, ClientOptions options) : Connection(loop), options_(std::move(options)) {}

  bool isReady() const { return state_ == State::kReady; }
  /** The server kept a session of this client. */
  bool isSessionPresent() const { return isSessionPresent_; }
  const std::string& clientId() const { return options_.connect.clientId; }
  /** Says goodbye; the server closes. */
  void disconnect();

  void onConnected() override;
  void onPacket(const mqtt::Packet& packet) override;
  void onClosed(int errorNumber) override;

 protected:
  virtual void onReady() {}
  virtual void onPublish(const mqtt::Publish&) {}
  virtual void onPuback(uint16_t /*id*/) {}
  virtual void onPingresp() {}
  /** After `disconnect`, or not asked for: then the run has failed, unless a subclass knows better. */
  virtual void onGone(int errorNumber);

  const ClientOptions options_;

 private:
  friend class Fleet;
  enum class State { kIdle, kConnecting, kConnack, kSuback, kReady, kLeaving };
  void becomeReady();

  Fleet* fleet_ = nullptr;
  State state_ = State::kIdle;
  bool isSessionPresent_ = false;
};

/** Connects clients and owns none of them. */
class Fleet {
 public:
  Fleet(Loop& loop, const Address& address, size_t inFlightMax)
      : loop_(loop), address_(address), inFlightMax_(inFlightMax) {}

  void add(Client& client) { waiting_.push_back(&client); }
  /** Connects all that were added, until each has what it subscribed to. Fails after `timeoutNs` without one more. */
  void connectAll(int64_t timeoutNs, const char* what);
  /** Sends DISCONNECT to all of `clients` and waits until the server has closed. */
  template <typename Some>
  void disconnectAll(const std::vector<std::unique_ptr<Some>>& clients, int64_t timeoutNs) {
    for (const auto& client : clients)
      if (client->isOpen()) leave(*client);
    waitForLeaving(timeoutNs);
  }

 private:
  friend class Client;
  void begin();
  void leave(Client& client);
  void waitForLeaving(int64_t timeoutNs);

  Loop& loop_;
  const Address address_;
  const size_t inFlightMax_;
  std::deque<Client*> waiting_;
  size_t underWay_ = 0;
  size_t leaving_ = 0;
  size_t begun_ = 0;
  size_t ready_ = 0;
};
