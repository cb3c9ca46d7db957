/**
 * Who sent a request: a trunk, or a user who proved it by digest (RFC 3261 §22). Nobody else is heard.
 */
import type { InstantMs } from '../../../base/index.js';
import type { Aor, SipUser } from '../../../domain/index.js';
import type { SipRequest, SipUri } from '../../../wire/sip/index.js';
import type { StackContext } from '../context.js';
import { DigestVerifier, type DigestFailure } from '../digest/index.js';
import type { Origin, TransactionKey } from '../edge-types.js';
import type { OwnNames } from './own-names.js';

/** The AOR that a URI names: its user at its host. */
export function aorOf(uri: SipUri): Aor | undefined {
  return uri.user === undefined ? undefined : `${uri.user}@${uri.host}`;
}

export class Identity {
  readonly #context: StackContext;
  readonly #names: OwnNames;
  readonly #verifier: DigestVerifier;

  constructor(context: StackContext, names: OwnNames, key: Uint8Array) {
    this.#context = context;
    this.#names = names;
    const { options, limits } = context;
    this.#verifier = new DigestVerifier({
      crypto: options.crypto,
      key,
      algorithms: options.algorithms ?? ['sha-256'],
      findUser: (aor) => options.findUser(aor),
      nonceMsMax: limits.nonceMsMax,
      noncesMax: limits.noncesMax,
      failedLogins: {
        perAddressMax: limits.failedLoginsPerAddressMax,
        totalMax: limits.failedLoginsMax,
        addressesMax: limits.budgetAddressesMax,
      },
    });
  }

  /**
   * The user who sent a request; undefined: it is not proved, and the request has been answered.
   *
   * A REGISTER speaks for the AOR in To, everything else for the one in From.
   */
  prove(
    now: InstantMs,
    transaction: TransactionKey,
    request: SipRequest,
    origin: Origin,
  ): SipUser | undefined {
    const context = this.#context;
    const isRegister = request.method === 'REGISTER';
    const { uri } = isRegister ? request.to : request.from;
    const mismatch = isRegister ? 'sip-third-party' : 'sip-from-mismatch';
    if (uri?.kind !== 'sip' || !this.#names.isDomain(uri.host)) {
      // No password of ours could prove it.
      context.reject(now, transaction, request, origin, mismatch);
      return undefined;
    }
    const realm = uri.host;
    const aor = aorOf(uri);
    const verdict = this.#verifier.verify(now, {
      method: request.method,
      credentials: isRegister ? request.authorizations : request.proxyAuthorizations,
      realm,
      address: origin.remote.address,
    });
    switch (verdict.kind) {
      case 'malformed':
        context.reject(now, transaction, request, origin, 'sip-bad-request', 'Malformed Credentials');
        return undefined;
      case 'blocked':
        context.reject(now, transaction, request, origin, 'sip-login-rate');
        return undefined;
      case 'challenge': {
        if (verdict.failure !== undefined) this.#noteFailure(verdict.failure, origin);
        const values = this.#verifier.challenges(now, realm, origin.remote.address, verdict.stale);
        const [status, phrase, name] = isRegister
          ? ([401, 'Unauthorized', 'WWW-Authenticate'] as const)
          : ([407, 'Proxy Authentication Required', 'Proxy-Authenticate'] as const);
        context.challenge(now, transaction, request, status, phrase, {
          headers: values.map((value) => [name, value] as const),
        });
        return undefined;
      }
      case 'proved':
        if (verdict.user.aor === aor) return verdict.user;
        context.reject(now, transaction, request, origin, mismatch);
        return undefined;
    }
  }

  #noteFailure(failure: DigestFailure, origin: Origin): void {
    if (failure.kind === 'wrong') return this.#context.note('sip-login-failed', origin);
    const { user, algorithm } = failure;
    this.#context.note('sip-login-algorithm', origin, { user: user.aor, algorithm });
  }
}
