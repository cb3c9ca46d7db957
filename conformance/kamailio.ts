/**
 * Debian's Kamailio beside us, from a configuration of ours and never as a service: a registrar and proxy as a peer
 * (what phones and SIPp do without us), and a PBX whose calls for our users come to us by a trunk.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createSocket } from 'node:dgram';
import { join } from 'node:path';
import { codeOf } from './guide.js';
import { Program } from './program.js';
import { until } from './support.js';

export const KAMAILIO = '/usr/sbin/kamailio';

interface CommonOptions {
  /** Where it keeps its files; the test's own. */
  readonly directory: string;
  readonly port: number;
  /** Its own address. */
  readonly address?: string;
  /** Processes for each transport. */
  readonly processes?: number;
}

export interface RegistrarOptions extends CommonOptions {
  readonly role: 'registrar';
  readonly domain: string;
}

export interface PbxOptions extends CommonOptions {
  readonly role: 'pbx';
  /** Calls for users of this domain go to `port` of 127.0.0.1 over TCP. */
  readonly trunk: { readonly domain: string; readonly port: number };
  /** What it asks OPTIONS of, once a second, as a PBX's qualify does: addresses of our users. */
  readonly pings?: readonly string[];
}

export type KamailioOptions = RegistrarOptions | PbxOptions;

export class Kamailio {
  readonly port: number;
  readonly #program: Program;

  private constructor(port: number, program: Program) {
    this.port = port;
    this.#program = program;
  }

  /** Resolves when it answers on its UDP port. */
  static async start(options: KamailioOptions): Promise<Kamailio> {
    const { directory, port, address = '127.0.0.1' } = options;
    mkdirSync(directory, { recursive: true });
    const file = join(directory, 'kamailio.cfg');
    writeFileSync(file, configurationOf(options));
    const args = ['-f', file, '-DD', '-E', '-m', '128', '-M', '8', '-Y', directory, '-w', directory];
    const program = new Program(KAMAILIO, args, { cwd: directory });
    program.endInput();
    const kamailio = new Kamailio(port, program);
    try {
      await until(
        () => {
          if (!program.isRunning) throw new Error(`Kamailio ended: ${program.stderr}`);
          return answersOptions(address, port);
        },
        60_000,
        () => `Kamailio answers; it said: ${program.stderr}`,
      );
    } catch (error) {
      await kamailio.end();
      throw error;
    }
    return kamailio;
  }

  get pid(): number {
    return this.#program.pid;
  }

  /** What it logged, from its configuration's own `xlog` among others. */
  get log(): string {
    return this.#program.stderr;
  }

  /** SIGTERM, on which its processes leave. */
  async end(): Promise<void> {
    await this.#program.end('SIGTERM');
  }
}

/** Shared by both roles, and by the benchmark's peer. */
function configurationOf(options: KamailioOptions): string {
  const { port, address = '127.0.0.1', processes = 1 } = options;
  const modules = ['kex', 'tm', 'tmx', 'sl', 'rr', 'pv', 'maxfwd', 'siputils', 'textops', 'xlog', 'corex'];
  if (options.role === 'registrar') modules.push('usrloc', 'registrar', 'nathelper');
  else modules.push('uac', 'rtimer');
  return [
    'debug=1',
    'log_stderror=yes',
    `children=${processes}`,
    `tcp_children=${processes}`,
    'auto_aliases=no',
    `listen=udp:${address}:${port}`,
    `listen=tcp:${address}:${port}`,
    'tcp_connection_lifetime=3600',
    'tcp_max_connections=20000',
    ...modules.map((name) => `loadmodule "${name}.so"`),
    'modparam("rr", "enable_double_rr", 1)',
    ...(options.role === 'registrar' ? registrar(options) : pbx(options)),
  ].join('\n');
}

const INTO_DIALOG = (afterRoute: string): string => `
  if (is_method("CANCEL")) { if (t_check_trans()) t_relay(); exit; }
  if (has_totag()) {
    if (loose_route()) { ${afterRoute} t_relay(); exit; }
    if (is_method("ACK")) { if (t_check_trans()) t_relay(); exit; }
    sl_send_reply("404", "Not Here"); exit;
  }
  if (t_precheck_trans()) { t_check_trans(); exit; }
  t_check_trans();`;

function registrar({ domain }: RegistrarOptions): readonly string[] {
  return [
    `alias="${domain}"`,
    'modparam("usrloc", "db_mode", 0)',
    'modparam("nathelper|registrar", "received_avp", "$avp(s:rcv)")',
    'modparam("registrar", "min_expires", 30)',
    `request_route {
  if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
  ${INTO_DIALOG('if (uri == myself && !lookup("location")) { sl_send_reply("480", "Gone"); exit; }')}
  if (is_method("REGISTER")) {
    fix_nated_register();
    if (!save("location")) sl_reply_error();
    exit;
  }
  if (is_method("OPTIONS") && $rU == $null) { sl_send_reply("200", "OK"); exit; }
  record_route();
  if (!lookup("location")) { sl_send_reply("480", "Nobody There"); exit; }
  t_relay();
}`,
  ];
}

function pbx({ trunk, pings = [], address = '127.0.0.1', port }: PbxOptions): readonly string[] {
  const next = `sip:127.0.0.1:${trunk.port};transport=tcp`;
  const pinging = pings.map((user) =>
    [
      '  $uac_req(method)="OPTIONS";',
      `  $uac_req(ruri)="sip:${user}";`,
      `  $uac_req(furi)="sip:pbx@${address}:${port}";`,
      `  $uac_req(turi)="sip:${user}";`,
      `  $uac_req(ouri)="${next}";`,
      '  $uac_req(evroute)=1;',
      '  uac_req_send();',
    ].join('\n'),
  );
  return [
    codeOf('beside-a-pbx.md', 'kamailio source', { '192.0.2.10': address }),
    `modparam("uac", "restore_mode", "none")`,
    ...(pings.length === 0
      ? []
      : [
          'modparam("rtimer", "timer", "name=pings;interval=1;mode=1;")',
          'modparam("rtimer", "exec", "timer=pings;route=PINGS")',
          `route[PINGS] {\n${pinging.join('\n')}\n}`,
          'event_route[uac:reply] { xlog("L_ERR", "ping answered $uac_req(evcode)\\n"); }',
        ]),
    `request_route {
  if (!mf_process_maxfwd_header("10")) { sl_send_reply("483", "Too Many Hops"); exit; }
  ${INTO_DIALOG('')}
  if (is_method("OPTIONS")) { sl_send_reply("200", "OK"); exit; }
  if (is_method("REGISTER")) { sl_send_reply("403", "Forbidden"); exit; }
  record_route();
  ${codeOf('beside-a-pbx.md', 'kamailio', {
    'home.test': trunk.domain,
    'sip:192.0.2.1:5080;transport=tcp': next,
  })}
}`,
  ];
}

/** Asks it once. */
async function answersOptions(address: string, port: number): Promise<boolean> {
  const socket = createSocket('udp4');
  try {
    return await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(false), 300);
      socket.once('message', () => {
        clearTimeout(timer);
        resolve(true);
      });
      socket.once('error', () => resolve(false));
      socket.bind(0, address, () => {
        const from = `${address}:${socket.address().port}`;
        const lines = [
          `OPTIONS sip:${address}:${port} SIP/2.0`,
          `Via: SIP/2.0/UDP ${from};branch=z9hG4bKready${from.replace(/\D/g, '')}`,
          `From: <sip:ready@${from}>;tag=1`,
          `To: <sip:${address}:${port}>`,
          `Call-ID: ready@${from}`,
          'CSeq: 1 OPTIONS',
          'Max-Forwards: 5',
          'Content-Length: 0',
        ];
        socket.send(`${lines.join('\r\n')}\r\n\r\n`, port, address);
      });
    });
  } finally {
    socket.close();
  }
}
