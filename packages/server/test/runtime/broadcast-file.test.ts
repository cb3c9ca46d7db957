import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { BroadcastTable } from '@wakeline/core/session/webpush';
import { BroadcastFile, parseBroadcasts } from '../../src/runtime/broadcast-file.js';
import { FakeLog } from './fakes.js';

describe('[WP-16] the file of broadcasts', () => {
  for (const [what, text, versions] of [
    ['YAML', 'a: x\nb/c: "1"\n', { a: 'x', 'b/c': '1' }],
    ['JSON', '{"a":"x"}', { a: 'x' }],
    [
      'versions that look like something else',
      'a: 1\nb: true\nc: 2026-01-01\nd: 1e3\n',
      { a: '1', b: 'true', c: '2026-01-01', d: '1e3' },
    ],
    ['nothing', '', {}],
    ['an empty map', '{}', {}],
  ] as const) {
    it(`may be ${what}`, () => assert.deepEqual(Object.fromEntries(parseBroadcasts(text)), versions));
  }

  for (const [what, text] of [
    ['a list', '[a]'],
    ['a text', 'a'],
    ['a map of maps', 'a: {b: c}'],
    ['no YAML', 'a: [b'],
    ['a long version', `a: ${'x'.repeat(257)}`],
    ['a long id', `${'x'.repeat(257)}: a`],
  ] as const) {
    it(`may not be ${what}`, () => assert.throws(() => parseBroadcasts(text), Error));
  }

  it('is read at the start and when told; what cannot be read is logged and changes nothing', (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'wakeline-broadcasts-'));
    t.after(() => rmSync(directory, { recursive: true }));
    const path = join(directory, 'broadcasts.yaml');
    writeFileSync(path, 'a: x');
    const table = new BroadcastTable();
    const log = new FakeLog();
    const file = new BroadcastFile(path, table, 3_600_000, log);
    file.start();
    t.after(() => file.stop());
    assert.deepEqual([table.get('a'), table.revision], ['x', 1]);
    writeFileSync(path, '[');
    file.read();
    assert.deepEqual([table.get('a'), table.revision], ['x', 1]);
    rmSync(path);
    file.read();
    assert.deepEqual([table.get('a'), table.revision, log.errors.length], ['x', 1, 2]);
    writeFileSync(path, 'a: y');
    file.read();
    assert.deepEqual([table.get('a'), table.revision], ['y', 2]);
  });
});
