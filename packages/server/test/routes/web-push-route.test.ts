import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import type { TestContext } from 'node:test';
import type { WakeRequest } from '@wakeline/core/domain';
import { isPublicAddress } from '../../src/routes/public-address.js';
import { WebPushRoute } from '../../src/routes/web-push-route.js';
import type { WebPushRouteOptions } from '../../src/routes/web-push-route.js';
import { runtimeLimits } from '../../src/runtime/limits.js';
import { FakeLog } from '../runtime/fakes.js';

const fixtures = join(import.meta.dirname, '../../../test/fixtures');
const cert = readFileSync(join(fixtures, 'first.cert.pem'));
const key = readFileSync(join(fixtures, 'first.key.pem'));

interface Service {
  readonly url: string;
  readonly requests: {
    readonly method: string;
    readonly url: string;
    readonly headers: IncomingMessage['headers'];
    readonly body: string;
  }[];
}

/** A push service on this machine. */
async function startService(
  t: TestContext,
  answer: (request: IncomingMessage, response: ServerResponse) => void = (_request, response) => {
    response.writeHead(201).end();
  },
): Promise<Service> {
  const requests: Service['requests'] = [];
  const server: Server = createServer({ cert, key }, (request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
    request.on('end', () => {
      requests.push({ method: request.method!, url: request.url!, headers: request.headers, body });
      answer(request, response);
    });
  });
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { url: `https://localhost:${(server.address() as AddressInfo).port}`, requests };
}

function routeTo(t: TestContext, options: Partial<WebPushRouteOptions> = {}) {
  const log = new FakeLog();
  const route = new WebPushRoute({
    limits: runtimeLimits,
    allowed: [],
    log,
    authorities: cert.toString(),
    ...options,
  });
  t.after(() => route.close());
  const push = (resource: string, more: Partial<WakeRequest> = {}) =>
    route.push({ ticket: 1, resource, ttlSeconds: 45, topic: 'a'.repeat(32), ...more });
  return { route, log, push };
}

/** What the log says of refusals. */
const reasons = (log: FakeLog): unknown[] =>
  log.entries
    .map(({ fields }) => (fields as { reason?: unknown }).reason)
    .filter((reason) => reason !== undefined);

describe('a push to a foreign endpoint', () => {
  it('is an empty POST that says how long and how urgent', async (t) => {
    const service = await startService(t);
    const { push, route } = routeTo(t, { allowed: [`${service.url}/wpush`] });
    assert.equal(await push(`${service.url}/wpush/secret?x=1`, { ttlSeconds: 7 }), 'accepted');
    const [{ method, url, headers, body }] = service.requests as [Service['requests'][0]];
    assert.deepEqual([method, url, body], ['POST', '/wpush/secret?x=1', '']);
    assert.equal(headers['ttl'], '7');
    assert.equal(headers['urgency'], 'high');
    assert.equal(headers['topic'], 'a'.repeat(32));
    assert.equal(headers['content-length'], '0');
    assert.equal(headers['authorization'], undefined);
    assert.deepEqual(route.counters, { accepted: 1, gone: 0, refused: 0, failed: 0 });
  });

  it('ends as the status says', async (t) => {
    let status = 0;
    const service = await startService(t, (_request, response) => {
      response.writeHead(status, { location: 'https://localhost:1/' }).end('a body that nobody reads');
    });
    const { push, log } = routeTo(t, { allowed: [service.url] });
    const outcomes: Record<number, string> = {};
    for (status of [200, 201, 202, 301, 307, 400, 403, 404, 410, 413, 429, 500, 503]) {
      outcomes[status] = await push(`${service.url}/x`);
    }
    assert.deepEqual(outcomes, {
      200: 'accepted',
      201: 'accepted',
      202: 'accepted',
      301: 'refused',
      307: 'refused',
      400: 'refused',
      403: 'refused',
      404: 'gone',
      410: 'gone',
      413: 'refused',
      429: 'failed',
      500: 'failed',
      503: 'failed',
    });
    // Redirects are not followed.
    assert.equal(service.requests.length, 13);
    assert.deepEqual(reasons(log), ['redirected', 'redirected']);
  });

  it('does not reach this machine or its network, by address or by name', async (t) => {
    const service = await startService(t);
    const { port } = new URL(service.url);
    const { push, log, route } = routeTo(t);
    for (const host of [
      '127.0.0.1',
      'localhost',
      '[::1]',
      '[::ffff:127.0.0.1]',
      '10.1.2.3',
      '0x7f000001',
      '169.254.169.254',
      '[fe80::1]',
    ]) {
      assert.equal(await push(`https://${host}:${port}/x`), 'refused', host);
    }
    assert.equal(service.requests.length, 0);
    assert.deepEqual(new Set(reasons(log)), new Set(['address-not-public']));
    assert.equal(route.counters.refused, 8);
  });

  it('looks at the address that the connection is made to', async (t) => {
    const service = await startService(t);
    const { port } = new URL(service.url);
    let answers = ['127.0.0.1', '10.0.0.1'];
    const lookup = ((_name: string, _options: object, callback: (error: null, found: object[]) => void) => {
      callback(
        null,
        answers.map((address) => ({ address, family: 4 })),
      );
    }) as unknown as NonNullable<WebPushRouteOptions['lookup']>;
    const { push, log } = routeTo(t, { lookup });
    assert.equal(await push(`https://rebound.example:${port}/x`), 'refused');
    assert.deepEqual(reasons(log), ['address-not-public']);
    assert.equal(service.requests.length, 0);
    // Listed: whatever its address, and still with its name in the certificate.
    answers = ['127.0.0.1'];
    const listed = routeTo(t, { lookup, allowed: [`https://localhost:${port}`] });
    assert.equal(await listed.push(`https://localhost:${port}/x`), 'accepted');
    const misnamed = routeTo(t, { lookup, allowed: [`https://other.example:${port}`] });
    assert.equal(await misnamed.push(`https://other.example:${port}/x`), 'failed');
  });

  it('is for what is listed, down to a part of the path', async (t) => {
    const service = await startService(t);
    const { push } = routeTo(t, { allowed: [`${service.url}/wpush`] });
    assert.equal(await push(`${service.url}/wpush`), 'accepted');
    assert.equal(await push(`${service.url}/wpushed`), 'refused');
    assert.equal(await push(`${service.url}/wpush/../admin`), 'refused');
    assert.equal(await push(`${service.url.replace('https', 'http')}/wpush`), 'refused');
    assert.equal(await push(`${service.url.replace('//', '//a:b@')}/wpush`), 'refused');
    assert.equal(await push('no URL'), 'refused');
    assert.equal(service.requests.length, 1);
  });

  it('is given up after a time, and nothing secret is logged', async (t) => {
    const service = await startService(t, () => {});
    const limits = { ...runtimeLimits, wakePushMs: 50 as never };
    const { push, log } = routeTo(t, { allowed: [service.url], limits });
    assert.equal(await push(`${service.url}/secret`), 'failed');
    assert.deepEqual(reasons(log), ['timed-out']);
    assert.ok(!JSON.stringify(log.entries).includes('secret'));
  });

  it('waits for its turn, so many of a host at the same time', async (t) => {
    const held: ServerResponse[] = [];
    let wake: () => void = () => {};
    const service = await startService(t, (_request, response) => {
      held.push(response);
      wake();
    });
    const limits = { ...runtimeLimits, wakePushesPerHostMax: 2 as never, wakePushesWaitingMax: 1 as never };
    const { push, log } = routeTo(t, { allowed: [service.url], limits });
    const pushes = ['a', 'b', 'c'].map((name) => push(`${service.url}/${name}`));
    assert.equal(await push(`${service.url}/d`), 'failed');
    assert.deepEqual(reasons(log), ['too-many-waiting']);
    while (held.length < 2) await new Promise<void>((resolve) => (wake = resolve));
    assert.equal(service.requests.length, 2);
    held[0]!.writeHead(201).end();
    while (held.length < 3) await new Promise<void>((resolve) => (wake = resolve));
    for (const response of held.slice(1)) response.writeHead(201).end();
    assert.deepEqual(await Promise.all(pushes), ['accepted', 'accepted', 'accepted']);
  });
});

describe('a public address', () => {
  it('is one of the Internet', () => {
    for (const address of [
      '1.1.1.1',
      '93.184.215.14',
      '172.32.0.1',
      '2606:4700::1111',
      '2a00:1450:4001::1',
    ]) {
      assert.ok(isPublicAddress(address), address);
    }
    const others =
      '0.0.0.0 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.255 169.254.1.1 172.16.0.1 172.31.255.255 192.0.0.1 192.0.2.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1 240.0.0.1 255.255.255.255 ' +
      ':: ::1 ::ffff:1.1.1.1 ::ffff:127.0.0.1 64:ff9b::a00:1 64:ff9b:1::1 100::1 2001::1 2001:db8::1 2002:7f00:1::1 3fff::1 5f00::1 fc00::1 fd12::1 fe80::1 fec0::1 ff02::1';
    for (const address of [...others.split(' '), '', 'localhost', '1.1.1', '[::1]']) {
      assert.ok(!isPublicAddress(address), address);
    }
  });
});
