import type { VNode } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { SelfTestDocument } from '../../../../src/protocol/documents/self-test.js';
import { ApiError, urlOf } from '../../api.ts';
import { formatBytes } from '../../format.ts';
import { Icon } from '../../parts/icon.tsx';
import { Facts, Section } from '../../parts/page.tsx';
import { announce } from '../../parts/status.tsx';
import { Copy } from '../../parts/texts.tsx';
import { upload, type UploadProgress } from '../../upload-request.ts';
import { toProblem } from '../../use-answer.ts';
import { judgeAttempt, judgeOrigin, testBodies, type Attempt, type Finding } from './way-findings.ts';

interface State {
  readonly attempts: readonly Attempt[];
  /** The body that is being sent. */
  readonly progress?: UploadProgress | undefined;
}

/** A button that sends bodies to the registry, and reports what proxies on the way did to them. */
export function WayTest(): VNode {
  const [state, setState] = useState<State | undefined>(undefined);
  const abort = useRef<AbortController | undefined>(undefined);
  useEffect(() => () => abort.current?.abort(), []);
  const start = (): void => {
    const controller = new AbortController();
    abort.current = controller;
    void run(controller.signal, (next) => void (controller.signal.aborted || setState(next)));
  };
  const cancel = (): void => {
    abort.current?.abort();
    setState((before) => before && { attempts: before.attempts });
  };
  const progress = state?.progress;
  return (
    <Section
      title="Connection test"
      actions={
        <button type="button" onClick={progress === undefined ? start : cancel}>
          {progress === undefined ? 'Test the connection' : 'Cancel the test'}
        </button>
      }
    >
      <p class="faint">
        Sends 1, 64 and 256 MiB to this page’s management API, and reports what a proxy did to them. The registry does
        not store them. A proxy may treat <code>/v2/</code> differently.
      </p>
      {state?.attempts.map((attempt) => (
        <Found key={attempt.size} finding={judgeAttempt(attempt)} />
      ))}
      {progress === undefined ? undefined : (
        <p>
          <progress value={progress.sent} max={progress.total} aria-label="Progress of the test" />{' '}
          {formatBytes(progress.sent)} of {formatBytes(progress.total)}
        </p>
      )}
      <Seen attempts={state?.attempts ?? []} />
    </Section>
  );
}

async function run(signal: AbortSignal, show: (state: State) => void): Promise<void> {
  const attempts: Attempt[] = [];
  for (const size of testBodies.keys()) {
    const attempt = await send(size, signal, (progress) => show({ attempts: [...attempts], progress }));
    attempts.push(attempt);
    // Larger ones would fail too.
    if (signal.aborted || attempt.result instanceof ApiError) break;
  }
  show({ attempts });
  if (!signal.aborted) announce('Connection tested');
}

async function send(size: number, signal: AbortSignal, show: (progress: UploadProgress) => void): Promise<Attempt> {
  const part = new Blob([new Uint8Array(2 ** 20)]);
  // Parts of a blob share their bytes.
  const body = new Blob(Array.from({ length: size / part.size }, () => part));
  let sent = 0;
  let sentAt = performance.now();
  const onProgress = (progress: UploadProgress): void => {
    sent = progress.sent;
    show(progress);
  };
  show({ sent, total: size });
  const result = await upload<SelfTestDocument>(urlOf('selftest/body'), body, 'application/octet-stream', {
    signal,
    onProgress,
    onSent: () => void (sentAt = performance.now()),
  }).catch(toProblem);
  return { size, sent, waitMs: performance.now() - sentAt, result };
}

function Found({ finding: { isGood, text, fix } }: { readonly finding: Finding }): VNode {
  return (
    <div class={isGood ? 'note good' : 'note'}>
      <Icon name={isGood ? 'check' : 'warning'} />
      <div>
        <p>{text}</p>
        {fix === undefined ? undefined : (
          <>
            <p>
              In the <code>location</code> of nginx: <Copy text={fix} label="Copy: lines for nginx" />
            </p>
            <pre>{fix}</pre>
          </>
        )}
      </div>
    </div>
  );
}

/** Shows how the registry sees this browser. */
function Seen({ attempts }: { readonly attempts: readonly Attempt[] }): VNode | null {
  const answer = attempts.map(({ result }) => result).find((result) => !(result instanceof ApiError));
  if (answer === undefined || answer instanceof ApiError) return null;
  const { address, origin, prefix } = answer.seen;
  return (
    <>
      <Found finding={judgeOrigin(origin, location.origin)} />
      <Facts
        facts={[
          ['Your address, as the registry sees it', address === '' ? 'a Unix socket' : address],
          ['Path before /v2 and /api/v1', prefix === '' ? 'none' : prefix],
        ]}
      />
    </>
  );
}
