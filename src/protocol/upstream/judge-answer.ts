import { firstOf, retryAfterOf, type AnswerHeaders } from './answer-headers.js';
import { absent, denied, failed, type UpstreamVerdict } from './verdict.js';

/** An answer that is none of those that the request expects. */
export interface UnexpectedAnswer {
  readonly status: number;
  readonly headers: AnswerHeaders;
  /** Whether a redirect led away from the upstream. */
  readonly elsewhere: boolean;
  /** The upstream's own token for this very scope, or configured credentials, or nothing. */
  readonly sent?: 'token' | 'credentials' | undefined;
}

/** The statuses of content that the upstream does not have, or no longer gives to anyone. */
const absences: Readonly<Record<number, string>> = {
  404: 'not found',
  410: 'it answered 410: the content was removed',
  451: 'it answered 451: the content is unavailable for legal reasons',
};

/**
 * Returns what an unexpected answer means. 401 and 403 are *denied* only with a token of the upstream's realm; other refusals
 * concern our credentials or cannot be explained. 412 is *denied* too.
 */
export function judgeAnswer({ status, headers, elsewhere, sent }: UnexpectedAnswer, now: number): UpstreamVerdict {
  const where = elsewhere ? ' where it redirected to' : '';
  const missing = absences[status];
  if (missing !== undefined) return absent(missing, status);
  // A storage service that a redirect leads to checks signatures, not accounts.
  if (status === 401 || status === 403)
    return elsewhere
      ? failed(`access was refused (${status})${where}`, { status })
      : judgeRefusal(status, headers, sent);
  // Harbor answers so when a scan or a missing signature blocks an image. We send no preconditions of our own.
  if (status === 412 && !elsewhere) return denied('its policy blocks the content (412)', { status });
  if (status === 407) return failed('the outgoing proxy refuses our credentials (407)', { status });
  const retryAfterSeconds = retryAfterOf(headers, now);
  const fields = retryAfterSeconds === undefined ? { status } : { status, retryAfterSeconds };
  if (status === 429) return failed(`it limits the rate of requests (429)${where}`, fields);
  if (status >= 500) return failed(`it answered ${status}${where}`, { ...fields, trouble: true });
  return failed(`it answered with the unexpected status ${status}${where}`, { status });
}

function judgeRefusal(status: number, headers: AnswerHeaders, sent: UnexpectedAnswer['sent']): UpstreamVerdict {
  if (sent === 'token') return denied(`it denies access even with its own token (${status})`, { status });
  if (sent === 'credentials') return failed(`it refuses our credentials (${status})`, { status });
  const how = firstOf(headers, 'www-authenticate') === undefined ? '' : ' that we support';
  return failed(`it refused access (${status}) without a way to authenticate${how}`, { status });
}
