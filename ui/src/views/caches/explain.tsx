import type { VNode } from 'preact';
import type { ExplanationDocument } from '../../../../src/protocol/documents/caches.js';
import { get, send } from '../../api.ts';
import { Dialog } from '../../parts/dialog.tsx';
import { Answered } from '../../parts/problem.tsx';
import { Digest, When } from '../../parts/texts.tsx';
import { useAnswer } from '../../use-answer.ts';

const classes: Readonly<Record<ExplanationDocument['answer'], string>> = {
  stored: 'good',
  cached: 'good',
  revalidate: 'warn',
  upstream: 'warn',
  absent: '',
  'left out': '',
};

/** A dialog that shows which repository would answer for a reference, in the order in which they are asked, and why. */
export function Explain({
  name,
  reference,
  onClose,
}: {
  readonly name: string;
  readonly reference: string;
  readonly onClose: () => void;
}): VNode {
  const answer = useAnswer(
    (signal) => get<ExplanationDocument>('explain', { name, reference }, signal),
    [name, reference],
  );
  return (
    <Dialog title={`Which repository answers for ${name}:${reference}?`} onClose={onClose} isWide>
      <div class="body">
        <Answered answer={answer} what="The explanation could not be read">
          {(explanation) => <Path explanation={explanation} />}
        </Answered>
      </div>
    </Dialog>
  );
}

/** A dialog that asks the upstream for a cached tag, and shows how the tag is answered afterwards. */
export function AskUpstream({
  repository,
  image,
  tag,
  onClose,
  onDone,
}: {
  readonly repository: string;
  readonly image: string;
  readonly tag: string;
  readonly onClose: () => void;
  readonly onDone: () => void;
}): VNode {
  const answer = useAnswer(async () => {
    const explanation = await send<ExplanationDocument>('POST', `repositories/${repository}/refresh`, undefined, {
      image,
      tag,
    });
    onDone();
    return explanation;
  }, [repository, image, tag]);
  return (
    <Dialog title={`Asked the upstream for ${repository}/${image}:${tag}`} onClose={onClose} isWide>
      <div class="body">
        <Answered answer={answer} what="The upstream could not be asked">
          {(explanation) => <Path explanation={explanation} />}
        </Answered>
      </div>
    </Dialog>
  );
}

/** Draws an explanation: the repository, and below it its members in order. */
function Path({ explanation }: { readonly explanation: ExplanationDocument }): VNode {
  const { members = [] } = explanation;
  const deciding = members.findIndex(({ answer }) => answer !== 'absent' && answer !== 'left out');
  return (
    <>
      <Step explanation={explanation} />
      {members.length === 0 ? undefined : (
        <ol class="path">
          {members.map((member, index) => (
            <li key={member.repository} class={index === deciding ? 'decides' : ''}>
              <div>
                {index + 1}. <Path explanation={member} />
              </div>
            </li>
          ))}
        </ol>
      )}
    </>
  );
}

function Step({ explanation }: { readonly explanation: ExplanationDocument }): VNode {
  const { repository, type, answer, reason, digest, problem, breaker } = explanation;
  return (
    <>
      <b>{repository}</b> <span class="faint">{type}</span> <span class={`badge ${classes[answer]}`}>{answer}</span>
      <p>{reason}</p>
      {problem === undefined ? undefined : <p class="wrong">{problem}</p>}
      {breaker === undefined ? undefined : <p class="wrong">The circuit breaker is {breaker.state}.</p>}
      {explanation.checked_at === undefined ? undefined : (
        <p class="faint">
          checked <When at={explanation.checked_at} />, fresh until <When at={explanation.fresh_until} />
        </p>
      )}
      {digest === undefined ? undefined : <Digest value={digest} />}
    </>
  );
}
