import { retryAfterOf } from './upstream-headers.js';
import { discard, type UpstreamAnswer } from './upstream-transport.js';
import { absent, failed, type UpstreamVerdict } from './upstream-verdict.js';

/**
 * What an answer means that is none of the expected ones; gives up its body. 401 and 403 are here what nobody could explain:
 * those that authentication explains never come this far.
 */
export function judgeAnswer({ status, headers, body, elsewhere }: UpstreamAnswer, now: number): UpstreamVerdict {
  discard(body);
  const where = elsewhere ? ' where it redirected to' : '';
  if (status === 404) return absent();
  if (status === 429) {
    const retryAfterSeconds = retryAfterOf(headers, now);
    const asked = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
    return failed(`it limits the rate of requests (429)${where}`, { status, ...asked });
  }
  if (status >= 500) return failed(`it answered ${status}${where}`, { status, trouble: true });
  if (status === 401 || status === 403)
    return failed(`it refused with ${status} without saying how to authenticate${where}`, { status });
  return failed(`it answered ${status}${where}, which is no answer to this request`, { status });
}
