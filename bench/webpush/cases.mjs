/** What is measured. `order` is what the load is told; `figure` is told while it runs. */

const DEVICES = 10_000;

function acceptCase(name, title, order, count) {
  return {
    name,
    title,
    group: 'accept',
    figure: 'pushesPerSecond',
    order: (isQuick) => ({
      mode: 'accept',
      devices: isQuick ? 500 : DEVICES,
      connections: 64,
      warmUp: isQuick ? 500 : 5_000,
      count: isQuick ? 2_000 : count,
      ...order,
    }),
  };
}

function latencyCase(perSecond) {
  return {
    name: `latency-${perSecond}`,
    title: `Latency, 10,000 connected devices, ${perSecond.toLocaleString('en')} pushes/s`,
    group: 'latency',
    figure: 'latencyMsP50',
    order: (isQuick) => ({
      mode: 'latency',
      devices: isQuick ? 500 : DEVICES,
      connections: 64,
      tokens: 'kept',
      perSecond,
      warmUp: isQuick ? 500 : 5_000,
      count: perSecond * (isQuick ? 2 : 10),
    }),
  };
}

export const cases = [
  acceptCase('accept-kept', 'Accepted, a token for each application server', { tokens: 'kept' }, 20_000),
  acceptCase(
    'accept-one',
    'The same, one connection',
    { tokens: 'kept', connections: 1, warmUp: 500 },
    2_000,
  ),
  acceptCase('accept-unsigned', 'Accepted, endpoints without a key', { tokens: 'none' }, 20_000),
  acceptCase('accept-fresh', 'Accepted, a new token for each push', { tokens: 'fresh' }, 15_000),
  latencyCase(200),
  latencyCase(1_000),
];
