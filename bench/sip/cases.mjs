/** What is measured. `atOnce`: registrations or calls that are under way at any moment. */

export const cases = [
  {
    name: 'register',
    title: 'Registrations: challenge, digest, binding stored',
    group: 'register',
    figure: 'registrationsPerSecond',
    count: 20_000,
    atOnce: 50,
  },
  {
    name: 'calls',
    title: 'Calls: INVITE, 180, 200, ACK, BYE, 200',
    group: 'calls',
    figure: 'callsPerSecond',
    count: 10_000,
    atOnce: 50,
  },
];
