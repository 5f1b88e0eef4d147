import type { IncomingMessage } from 'node:http';
import type { ClientInfo, Principal } from '../ports/access/access.js';
import type { AuditNote, AuditTrail } from '../ports/operations/audit.js';
import type { Actor } from '../ports/metadata/journal.js';
import type { RegistryError } from '../protocol/errors.js';
import { maskTokens, shownUrl } from './clients/shown-url.js';
import type { RequestFacts } from './core.js';

/** The number of characters of a `User-Agent` that are kept. */
const maxUserAgentLength = 200;

/** Describes the actor of a request for events, the journal and the audit file. */
export function describeActor(
  req: IncomingMessage,
  { id, via }: Pick<Principal, 'id' | 'via'>,
  { address, host, origin }: ClientInfo,
  requestId: string,
): Actor {
  const secure = origin?.startsWith('https:') === true ? true : undefined;
  return { principal: id, via, requestId, address, host, secure, userAgent: userAgentOf(req) };
}

/** Notes a refused login, or a request that the user is not allowed to make. */
export function noteRefusal(
  audit: AuditTrail | undefined,
  req: IncomingMessage,
  facts: RequestFacts,
  { refusedLogin, code }: RegistryError,
): void {
  if (refusedLogin !== undefined) {
    const { username, reason, via } = refusedLogin;
    const by = { ...describeClient(req, facts), via };
    audit?.note({ event: 'login', what: 'login.refused', by, details: { op: facts.op, username, reason } });
  } else if (code === 'DENIED') {
    audit?.note({ event: 'denied', what: 'request.denied', ...describeRequest(req, facts) });
  }
}

/** Notes a change that is not in the journal. */
export function noteChange(audit: AuditTrail | undefined, req: IncomingMessage, facts: RequestFacts): void {
  if (facts.change !== undefined) {
    audit?.note({ event: 'change', what: facts.change, ...describeRequest(req, facts) });
  }
}

function describeRequest(req: IncomingMessage, facts: RequestFacts): Pick<AuditNote, 'by' | 'details'> {
  const { method = '', url = '' } = req;
  return { by: describeClient(req, facts), details: { op: facts.op, method, url: shownUrl(url) } };
}

function describeClient(req: IncomingMessage, { id, principal, clientAddress, via }: RequestFacts): AuditNote['by'] {
  return { principal, via, requestId: id, address: clientAddress, userAgent: userAgentOf(req) };
}

/** Returns the part of the `User-Agent` that is logged and stored. */
export function userAgentOf(req: IncomingMessage): string | undefined {
  const text = req.headers['user-agent'];
  return text === undefined ? undefined : maskTokens(text.slice(0, maxUserAgentLength));
}
