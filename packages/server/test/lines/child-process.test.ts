/** What a supervisor tells its processes, and when, with a scripted process. */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { EventEmitter } from 'node:events';
import { describe, test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { ServerChild } from '../../src/lines/child-process.js';
import type { ProcessCommand, ProcessReport } from '../../src/lines/process-messages.js';
import { configOf } from '../listeners/harness.js';

class ScriptedProcess extends EventEmitter {
  readonly pid = 1;
  connected = true;
  exitCode: number | null = null;
  signalCode: NodeJS.Signals | null = null;
  readonly told: string[] = [];

  send(command: ProcessCommand): void {
    this.told.push(command.kind);
  }

  kill(signal: NodeJS.Signals): void {
    this.signalCode = signal;
    this.emit('exit', null, signal);
  }

  report(report: ProcessReport): void {
    this.emit('message', report);
  }
}

function make(): { readonly scripted: ScriptedProcess; readonly child: ServerChild } {
  const scripted = new ScriptedProcess();
  const child = new ServerChild(
    scripted as unknown as ChildProcess,
    'hub',
    configOf('/nowhere'),
    [],
    [],
    () => {},
  );
  return { scripted, child };
}

describe('child process', () => {
  test('a process that is told to leave while it starts is told so when it can do it', async () => {
    const { scripted, child } = make();
    const ended = child.end({ kind: 'leave' }, 60_000);
    scripted.report({ kind: 'listening' });
    await nextTurn();
    assert.deepEqual(scripted.told, ['start']);
    scripted.report({ kind: 'ready', urls: [] });
    await nextTurn();
    assert.deepEqual(scripted.told, ['start', 'leave']);
    scripted.exitCode = 0;
    scripted.emit('exit', 0, null);
    await ended;
    assert.equal(scripted.signalCode, null, 'it was not killed');
  });

  test('a process that never is ready is killed when its time is over', async () => {
    const { scripted, child } = make();
    scripted.report({ kind: 'listening' });
    await child.end({ kind: 'leave' }, 1);
    assert.equal(scripted.signalCode, 'SIGKILL');
    assert.deepEqual(scripted.told, ['start']);
    await assert.rejects(child.ready);
  });
});
