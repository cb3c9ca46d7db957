#include "client.hpp"

#include <cstdio>
#include <cstring>

#include "report.hpp"

namespace {
constexpr uint16_t kSubscribeId = 65'535;  // publishers count from 1 and never reach it
}

void Client::disconnect() {
  mqtt::appendDisconnect(out);
  state_ = State::kLeaving;
  touch();
}

void Client::onConnected() {
  mqtt::appendConnect(out, options_.version, options_.connect);
  state_ = State::kConnack;
  touch();
}

void Client::onPacket(const mqtt::Packet& packet) {
  switch (packet.type()) {
    case mqtt::kPublish: {
      mqtt::Publish publish;
      if (!mqtt::parsePublish(packet, options_.version, publish)) fail("the server sent a malformed PUBLISH");
      onPublish(publish);
      return;
    }
    case mqtt::kPuback:
      if (packet.restBytes < 2) fail("the server sent a malformed PUBACK");
      if (packet.restBytes > 2 && packet.rest[2] >= 0x80)
        fail("the server refused a message, reason " + std::to_string(packet.rest[2]));
      onPuback(static_cast<uint16_t>(packet.rest[0] << 8 | packet.rest[1]));
      return;
    case mqtt::kConnack:
      if (packet.restBytes < 2) fail("the server sent a malformed CONNACK");
      if (packet.rest[1] != 0) fail("CONNECT was refused, code " + std::to_string(packet.rest[1]));
      isSessionPresent_ = (packet.rest[0] & 1) != 0;
      if (options_.filter.empty()) {
        becomeReady();
        return;
      }
      mqtt::appendSubscribe(out, options_.version, kSubscribeId, options_.filter, options_.qos);
      state_ = State::kSuback;
      touch();
      return;
    case mqtt::kSuback:
      if (packet.restBytes < 3 || packet.rest[packet.restBytes - 1] != options_.qos)
        fail("SUBSCRIBE was refused or granted less");
      becomeReady();
      return;
    case mqtt::kPingresp:
      onPingresp();
      return;
    default:
      fail("the server sent a packet of type " + std::to_string(packet.type()));
  }
}

void Client::becomeReady() {
  state_ = State::kReady;
  if (fleet_ != nullptr) {
    fleet_->underWay_--;
    fleet_->ready_++;
    fleet_->begin();
  }
  onReady();
}

void Client::onClosed(int errorNumber) {
  if (state_ == State::kLeaving) {
    state_ = State::kIdle;
    if (fleet_ != nullptr) fleet_->leaving_--;
    return;
  }
  onGone(errorNumber);
}

void Client::onGone(int errorNumber) {
  const char* state = isReady() ? "that was in use" : "that was not ready";
  fail(std::string("lost a connection ") + state + ": " + clientId() + ", " +
       (errorNumber == 0 ? "closed by the server" : strerror(errorNumber)));
}

void Fleet::begin() {
  while (underWay_ < inFlightMax_ && !waiting_.empty()) {
    Client& client = *waiting_.front();
    waiting_.pop_front();
    client.fleet_ = this;
    client.state_ = Client::State::kConnecting;
    underWay_++;
    loop_.connect(client, address_, begun_++);
  }
}

void Fleet::connectAll(int64_t timeoutNs, const char* what) {
  const size_t goal = ready_ + waiting_.size() + underWay_;
  Progress progress;
  size_t lastReady = ready_;
  int64_t lastNs = clockNs();
  begin();
  while (underWay_ > 0 || !waiting_.empty()) {
    loop_.turn(100'000'000);
    progress.tell("%s: %zu of %zu connected", what, ready_, goal);
    if (ready_ != lastReady) lastNs = loop_.turnNs();
    lastReady = ready_;
    if (loop_.turnNs() - lastNs > timeoutNs)
      fail(std::string(what) + ": no further one connected, with " + std::to_string(ready_) + " of " +
           std::to_string(goal));
  }
}

void Fleet::leave(Client& client) {
  client.fleet_ = this;
  leaving_++;
  client.disconnect();
}

void Fleet::waitForLeaving(int64_t timeoutNs) {
  size_t lastLeaving = leaving_;
  int64_t lastNs = clockNs();
  while (leaving_ > 0) {
    loop_.turn(100'000'000);
    if (leaving_ != lastLeaving) lastNs = loop_.turnNs();
    lastLeaving = leaving_;
    if (loop_.turnNs() - lastNs > timeoutNs) fail("the server did not close after DISCONNECT");
  }
}
