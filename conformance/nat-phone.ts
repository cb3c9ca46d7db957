/**
 * A phone behind a NAT: several lines in one process, each by the SDK with a keepalive policy of its own. Prints what happens,
 * one JSON object a line. Run by `nat-network.ts`, which has the shapes; argument: the phone's description as JSON.
 */
import { join } from 'node:path';
import { fixedKeepalive, GapEstimate, PairedCanary, scaledConstants } from '@wakeline/core/device';
import type { GapConstants, GapKnowledge, KeepalivePolicy } from '@wakeline/core/device';
import { ClientPing } from '@wakeline/core/testing';
import { openLine, processPlatform } from '@wakeline/device';
import type { PhoneDescription, PhoneEvent, PolicyName } from './nat-network.js';
import { ObservedKeepalive } from './observed-keepalive.js';

/** The silence of iOS: the shortest keepalive that it allowed an app. */
const FIXED_MS = 600_000;

const { url, directory, devices, factor, answerMs } = JSON.parse(process.argv[2]!) as PhoneDescription;
const scaled = scaledConstants(factor);
const constants: GapConstants =
  answerMs === undefined ? scaled : { ...scaled, answerMs, pathMs: 3 * answerMs };

interface Policy {
  readonly policy: KeepalivePolicy;
  /** undefined: it learns nothing. */
  readonly knowledge: () => Readonly<Record<string, GapKnowledge>> | undefined;
}

function policyOf(name: PolicyName): Policy {
  switch (name) {
    case 'adaptive': {
      const policy = new PairedCanary(constants);
      return { policy, knowledge: () => policy.knowledge };
    }
    case 'client-ping': {
      const policy = new ClientPing(constants);
      return { policy, knowledge: () => policy.knowledge };
    }
    case 'fixed':
      return { policy: fixedKeepalive(FIXED_MS / factor), knowledge: () => undefined };
  }
}

/** Whether nothing more is tried. */
function isDone(knowledge: GapKnowledge): boolean {
  return GapEstimate.restore(knowledge, constants)?.targetMs(Date.now()) === undefined;
}

for (const { id, policy: name, floorMs } of devices) {
  const tell = (event: Record<string, unknown> & { readonly kind: PhoneEvent['kind'] }): void => {
    console.log(JSON.stringify({ device: id, at: Date.now(), ...event }));
  };
  const { policy, knowledge } = policyOf(name);
  let told = '';
  const observed = new ObservedKeepalive(policy, constants, (event) => {
    tell(event);
    const known = Object.values(knowledge() ?? {}).at(-1);
    if (known === undefined || JSON.stringify(known) === told) return;
    told = JSON.stringify(known);
    tell({ kind: 'knows', lowMs: known.lowMs, highMs: known.highMs, isDone: isDone(known) });
  });
  // The network stays without a name: what the devices of one network have found is shared among them, when here each is to find
  // it for itself.
  const platform = processPlatform({ readNetworkKey: () => Promise.resolve(undefined) });
  const line = openLine({
    url,
    deviceId: id,
    keepalive: observed,
    storage: join(directory, id),
    platform: {
      ...platform,
      ...(floorMs !== undefined && { activity: 'asleep', wakeGapMsMin: floorMs }),
      handleOpen: async ({ localPort }) => tell({ kind: 'open', localPort }),
    },
    onWarning: ({ code, message }) => tell({ kind: 'warning', code, message }),
  });
  line.onMessage((message) => {
    tell({ kind: 'message', ...(message.json() as { readonly number: number; readonly sentMs: number }) });
  });
  void (async () => {
    for await (const status of line.statuses()) tell({ kind: 'status', status: status.kind });
  })();
}
