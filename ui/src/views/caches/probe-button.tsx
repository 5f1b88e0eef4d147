import type { VNode } from 'preact';
import { useState } from 'preact/hooks';
import type { ProbeDocument } from '../../../../src/protocol/documents/caches.js';
import { send, type ApiError } from '../../api.ts';
import { formatNumber } from '../../format.ts';
import { Dialog } from '../../parts/dialog.tsx';
import { Facts } from '../../parts/page.tsx';
import { Problem } from '../../parts/problem.tsx';
import { toProblem } from '../../use-answer.ts';

/** A button that asks the upstream of a repository whether it answers now, and shows the result. */
export function ProbeButton({
  repository,
  onDone,
}: {
  readonly repository: string;
  readonly onDone: () => void;
}): VNode {
  const [isBusy, setBusy] = useState(false);
  const [result, setResult] = useState<ProbeDocument | undefined>(undefined);
  const [problem, setProblem] = useState<ApiError | undefined>(undefined);
  const close = (): void => {
    setResult(undefined);
    setProblem(undefined);
  };
  const probe = async (): Promise<void> => {
    setBusy(true);
    try {
      setResult(await send<ProbeDocument>('POST', `repositories/${repository}/probe`));
      onDone();
    } catch (error) {
      setProblem(toProblem(error));
    }
    setBusy(false);
  };
  return (
    <>
      <button type="button" disabled={isBusy} onClick={() => void probe()}>
        {isBusy ? 'Please wait…' : 'Probe now'}
      </button>
      {result === undefined && problem === undefined ? undefined : (
        <Dialog title={`Upstream of ${repository}`} onClose={close}>
          <div class="body">
            {problem === undefined ? undefined : <Problem error={problem} what="The upstream could not be asked" />}
            {result === undefined ? undefined : <Result result={result} />}
          </div>
        </Dialog>
      )}
    </>
  );
}

function Result({
  result: { state, status, duration_ms: duration, reason },
}: {
  readonly result: ProbeDocument;
}): VNode {
  return (
    <>
      <p class={reason === null ? '' : 'wrong'}>
        {reason === null ? 'The upstream answers.' : `The upstream does not answer: ${reason}.`}
      </p>
      <Facts
        facts={[
          ['Status', status ?? 'no answer'],
          ['Duration', `${formatNumber(duration)} ms`],
          ['Circuit breaker', state],
        ]}
      />
    </>
  );
}
