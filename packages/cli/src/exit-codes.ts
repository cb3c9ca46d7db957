/** How the process ends. docs/cli.md carries the table; a test compares the two. Codes never change their meaning. */
export const exitCodes = {
  ok: { code: 0, meaning: 'done' },
  failure: { code: 1, meaning: 'it did not work; the message says why' },
  usage: { code: 2, meaning: 'wrong arguments or configuration' },
  locked: { code: 3, meaning: 'another server has the data directory open' },
  refused: { code: 4, meaning: 'the server wants a token, or one that may do more' },
  unreachable: { code: 5, meaning: 'no server answers at the address' },
  unfinished: { code: 6, meaning: 'with --wait: the message ended, or did not come so far in time' },
  hubFailed: { code: 70, meaning: 'the server stopped itself after an internal fault; start it anew' },
  interrupted: { code: 130, meaning: 'a second signal ended it at once' },
} as const;

export type ExitCodeName = keyof typeof exitCodes;
