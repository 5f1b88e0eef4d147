import { parseAnswers, type ParsedAnswer } from './answers.js';
import { errorProblems } from './errors.js';
import { readFraming, type Framed } from './framing.js';
import { textOf } from './pipelines.js';
import type { Pipelined } from './pipeline-wire.js';
import { marker, type Scene } from './scene.js';

/** Whether every request that is plainly there has its answer, and the connection may stay open. */
export function isLeftOpen({ requests, rest }: Framed, received: string): boolean {
  try {
    const answers = finalAnswers(received);
    return rest !== 'over' && answers.length >= requests.length && !answers.some(({ headers }) => ends(headers));
  } catch {
    return true;
  }
}

/** What is wrong with the answers on a connection: their number, their order, and how it goes on. */
export function judgePipeline({ sent, received, isEnded }: Pipelined, scene: Scene): string[] {
  const { requests, rest } = readFraming(textOf(sent));
  const problems: string[] = received.includes(marker) ? ['it shows what is secret'] : [];
  let answers: ParsedAnswer[];
  try {
    answers = finalAnswers(received);
  } catch (error) {
    return [...problems, `what came is no HTTP: ${(error as Error).message}`];
  }
  for (const [i, answer] of answers.entries()) {
    const request = requests[i];
    if (answer.status >= 400 && request?.method !== 'HEAD' && isWhole(answer)) {
      problems.push(
        ...errorProblems({ ...answer, headers: Object.fromEntries(answer.headers), body: Buffer.from(answer.body) }),
      );
    }
    if (answer.status === 500) problems.push('it was answered 500');
    const event = scene.events.get(answer.headers.get('x-request-id') ?? '');
    const path = event?.url.split('?')[0];
    if (request !== undefined && event !== undefined && (path !== request.path || event.method !== request.method)) {
      problems.push(`answer ${i} is for ${event.method} ${path}, request ${i} is ${request.method} ${request.path}`);
    }
    const isLast = i === answers.length - 1;
    if (ends(answer.headers) && !isLast) problems.push(`answer ${i} was to be the last, ${answers.length} came`);
  }
  if (sent.end === 'leave' || sent.end === 'deaf') return problems;
  const final = answers.at(-1);
  const endedBy = Math.max(0, answers.length - 1);
  const mayMore = rest === 'unclear' ? Infinity : rest === 'part' ? 1 : 0;
  if (answers.length > requests.length + mayMore) {
    problems.push(`${answers.length} answers to ${requests.length} requests`);
  }
  // Node ends its side with the client's: what is not answered by then may be dropped, but never mixed up.
  if (sent.end === 'half')
    return isEnded ? problems : [...problems, 'it did not end a connection that was half closed'];
  // After what is no request the server ends the connection, and what it has not read by then resets it: answers may be lost.
  const isReset = rest === 'unclear' && isEnded;
  if (answers.length < requests.length && !isReset) {
    // The answer that told so may be lost by the same reset.
    const isAllowed = isEnded && requests.slice(endedBy, endedBy + 2).some(({ mayEnd }) => mayEnd);
    if (!isAllowed) problems.push(`${answers.length} answers to ${requests.length} requests, and then ${rest}`);
  }
  const isOver = rest === 'over' || (final !== undefined && ends(final.headers));
  if (isOver && !isEnded) problems.push('it did not end a connection that is over');
  return problems;
}

function finalAnswers(received: string): ParsedAnswer[] {
  return parseAnswers(received).filter(({ status }) => status >= 200);
}

function ends(headers: ReadonlyMap<string, string>): boolean {
  return headers.get('connection')?.toLowerCase() === 'close';
}

function isWhole({ headers, body }: ParsedAnswer): boolean {
  return Number(headers.get('content-length') ?? 0) === body.length;
}
