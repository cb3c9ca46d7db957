// One epoll loop over many connections, as lean as it can be: one read per readable socket into one shared buffer,
// one write per connection and turn. It knows MQTT's framing and nothing else of MQTT.
#pragma once

#include <sys/epoll.h>

#include <cstdint>
#include <string>
#include <vector>

#include "mqtt.hpp"

class Loop;

/** Nanoseconds of the monotonic clock. */
int64_t clockNs();

/** Ends the program with a message on stderr and exit code 1. */
[[noreturn]] void fail(const std::string& message);

/** One TCP connection. Subclasses say what its packets mean. */
class Connection {
 public:
  explicit Connection(Loop& loop) : loop_(loop) {}
  virtual ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /** What is appended here leaves at the end of the turn, in one write; call `touch` after it. */
  std::string out;
  void touch();

  bool isOpen() const { return fd_ >= 0; }
  void close();
  /** False: nothing is read any more, and the kernel's buffers fill. */
  void setReading(bool isReading);
  /** Less than this does not make it readable: it waits in the kernel for more, or for `readNow`. */
  void setReadBytesMin(int bytes);
  /** Reads what is there, be it nothing. */
  void readNow();

  /** What is written from now on leaves as soon as the connection is there. */
  virtual void onConnected() {}
  virtual void onPacket(const mqtt::Packet& packet) = 0;
  /** The peer closed or the connection broke; `errorNumber` is 0 for an orderly end. */
  virtual void onClosed(int errorNumber) = 0;

 protected:
  Loop& loop_;

 private:
  friend class Loop;
  void arm();

  int fd_ = -1;
  bool isReading_ = true;
  bool isBlocked_ = false;
  bool isDirty_ = false;
  uint32_t armed_ = 0;
  size_t sent_ = 0;
  std::string partial_;
};

/** Takes the connections of a listening socket. */
class Acceptor {
 public:
  virtual ~Acceptor() = default;
  virtual Connection* accepted() = 0;
};

struct Address {
  std::string host = "127.0.0.1";
  uint16_t port = 1883;
  /** On loopback, connections come from so many addresses, 127.0.0.2 and up: ports do not run out. */
  unsigned sources = 16;
  /** Bytes; 0 leaves the kernel's choice. */
  int receiveBufferBytes = 0;
};

class Loop {
 public:
  Loop();
  ~Loop();

  /** Begins a connection; `number` spreads connections over the source addresses. */
  void connect(Connection& connection, const Address& address, size_t number);
  /** Returns the port. */
  uint16_t listen(uint16_t port, Acceptor& acceptor);
  /** Calls back when a line, or the end, of standard input can be read. */
  void watchInput(void (*handler)(void*), void* context);

  /** Waits until something happens, at most `waitNs` (negative: without end), and handles all of it. False: nothing. */
  bool turn(int64_t waitNs);
  /** When the current turn's events became known. */
  int64_t turnNs() const { return turnNs_; }

 private:
  friend class Connection;
  void add(Connection& connection, int fd);
  void acceptAll();
  void readable(Connection& connection);
  void flush(Connection& connection);
  void flushDirty();
  void lost(Connection& connection, int errorNumber);

  int epoll_;
  int listener_ = -1;
  Acceptor* acceptor_ = nullptr;
  void (*inputReadable_)(void*) = nullptr;
  void* inputContext_ = nullptr;
  int64_t turnNs_ = 0;
  std::vector<uint8_t> buffer_;
  std::vector<epoll_event> events_;
  std::vector<Connection*> dirty_;
};
