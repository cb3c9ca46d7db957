/**
 * The servers that are compared; entries as in ../mqtt/servers.mjs. `ports`: where users register, and where the calls of
 * the benchmark come in.
 */
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { runToEnd } from '../mqtt/processes.mjs';
import { wakelineUp, wakelineVersion } from '../mqtt/servers.mjs';

export const DOMAIN = 'bench.test';
export const PASSWORD = 'secret';
/** Users that there are: `user0`, `user1`, … */
export const USERS = 2_000;
/** What calls come from: a trunk's address, so that callers are not challenged by Wakeline, as they are not by Kamailio. */
export const CALLERS_ADDRESS = '127.0.0.11';

const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;
const KAMAILIO_MODULES = [
  'kex',
  'tm',
  'tmx',
  'sl',
  'rr',
  'pv',
  'maxfwd',
  'usrloc',
  'registrar',
  'textops',
  'siputils',
  'auth',
];

export const userName = (number) => `user${number}`;

export const servers = {
  wakeline: {
    title: 'Wakeline',
    isNode: true,
    ports: (port) => ({ users: port, calls: port + 1 }),
    command: async ({ port, directory, upFlags }) => {
      const file = join(directory, 'sip.yaml');
      await writeFile(file, JSON.stringify(wakelineConfiguration(port)));
      const { args, ...command } = wakelineUp('', directory, []);
      // The listeners stand in the file: one of them has more to say than a URL.
      const withoutListen = args.slice(0, args.indexOf('--listen'));
      return { ...command, args: [...withoutListen, '--config', file, ...upFlags] };
    },
    version: wakelineVersion,
  },
  kamailio: {
    title: 'Kamailio',
    isNode: false,
    ports: (port) => ({ users: port, calls: port }),
    command: async ({ port, directory }) => {
      const file = join(directory, 'kamailio.cfg');
      const run = join(directory, 'run');
      await mkdir(run, { recursive: true });
      await writeFile(file, kamailioConfiguration(port, availableParallelism()));
      const args = ['-f', file, '-DD', '-E', '-m', '1024', '-M', '16', '-Y', run, '-w', run];
      return { program: 'kamailio', args, env: { PATH } };
    },
    version: async () => {
      const { stdout } = await runToEnd('kamailio', ['-v'], { env: { PATH } });
      return /version: kamailio (\S+)/.exec(stdout)?.[1] ?? 'unknown';
    },
  },
};

function wakelineConfiguration(port) {
  const ha1 = (user) => createHash('md5').update(`${user}:${DOMAIN}:${PASSWORD}`).digest('hex');
  const names = Array.from({ length: USERS }, (_, number) => userName(number));
  return {
    listen: [
      `sip+udp://127.0.0.1:${port}`,
      `sip+tcp://127.0.0.1:${port}`,
      { url: `sip+udp://127.0.0.1:${port + 1}`, trunksOnly: true },
    ],
    sip: {
      domains: [DOMAIN],
      users: names.map((name) => ({ address: `${name}@${DOMAIN}`, password: `md5:${ha1(name)}` })),
      trunks: [{ name: 'load', uri: `sip:${CALLERS_ADDRESS}:9;transport=udp`, from: [CALLERS_ADDRESS] }],
    },
  };
}

/** Stateful, one process for each core, users and their places in memory alone: it has no database to wait for. */
function kamailioConfiguration(port, processes) {
  return `debug=0
log_stderror=yes
children=${processes}
tcp_children=1
auto_aliases=no
alias="${DOMAIN}"
listen=udp:127.0.0.1:${port}
listen=tcp:127.0.0.1:${port}
${KAMAILIO_MODULES.map((name) => `loadmodule "${name}.so"`).join('\n')}
modparam("usrloc", "db_mode", 0)
request_route {
  if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
  if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
  if (has_totag()) {
    if (loose_route()) { t_relay(); exit; }
    if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
    sl_send_reply("404", "Not Here"); exit;
  }
  if (t_precheck_trans()) { t_check_trans(); exit; }
  t_check_trans();
  if (is_method("REGISTER")) {
    if (!pv_www_authenticate("$td", "${PASSWORD}", "0")) { www_challenge("$td", "1"); exit; }
    if (!save("location")) sl_reply_error();
    exit;
  }
  record_route();
  if (!lookup("location")) { sl_send_reply("480", "Nobody There"); exit; }
  t_relay();
}
`;
}

/** The reason why a server cannot be measured here; undefined: it can. */
export async function whyMissing(name) {
  const programs = name === 'kamailio' ? ['sipp', 'kamailio'] : ['sipp'];
  for (const program of programs) {
    const result = await runToEnd('sh', ['-c', `command -v ${program}`], { env: { PATH } });
    if (result.code !== 0) return `${program} is not installed (tools/peers.sh)`;
  }
  return undefined;
}
