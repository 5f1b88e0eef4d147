import type { ComponentChildren, VNode } from 'preact';
import { useEffect, useId, useRef, useState } from 'preact/hooks';
import type { ApiError } from '../api.ts';
import { toProblem } from '../use-answer.ts';
import { Icon } from './icon.tsx';
import { Problem } from './problem.tsx';

/** Shows a modal dialog while it is mounted. Escape and a click on the cross close it. */
export function Dialog({
  title,
  onClose,
  isWide = false,
  children,
}: {
  readonly title: string;
  readonly onClose: () => void;
  readonly isWide?: boolean;
  readonly children: ComponentChildren;
}): VNode {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const { current } = dialog;
    const opener = document.activeElement;
    current?.showModal();
    // The browser chose the cross, which comes first.
    current?.querySelector<HTMLElement>('input, select, textarea')?.focus();
    return () => {
      current?.close();
      // The browser returns the focus only when the dialog is still in the page.
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      class={isWide ? 'wide' : ''}
      aria-labelledby={heading}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <header>
        <h2 id={heading}>{title}</h2>
        <button type="button" class="icon-button" aria-label="Close" onClick={onClose}>
          <Icon name="close" />
        </button>
      </header>
      {children}
    </dialog>
  );
}

/** A form in a dialog: its fields, a button that submits, and one that cancels. An error keeps it open. */
export function DialogForm({
  title,
  submit,
  what,
  onSubmit,
  onClose,
  isDangerous = false,
  isReady = true,
  isWide = false,
  children,
}: {
  readonly title: string;
  /** The text of the button. */
  readonly submit: string;
  /** The failure to show if `onSubmit` throws: `The tags could not be deleted`. */
  readonly what: string;
  readonly onSubmit: () => Promise<unknown>;
  readonly onClose: () => void;
  readonly isDangerous?: boolean;
  readonly isReady?: boolean;
  readonly isWide?: boolean;
  readonly children: ComponentChildren;
}): VNode {
  const [problem, setProblem] = useState<ApiError | undefined>(undefined);
  const [isBusy, setBusy] = useState(false);
  const run = async (): Promise<void> => {
    setBusy(true);
    setProblem(undefined);
    try {
      await onSubmit();
    } catch (error) {
      setProblem(toProblem(error));
    }
    setBusy(false);
  };
  return (
    <Dialog title={title} onClose={onClose} isWide={isWide}>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          if (isReady && !isBusy) void run();
        }}
      >
        {children}
        {problem === undefined ? undefined : <Problem error={problem} what={what} />}
        <footer>
          <button type="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class={isDangerous ? 'danger' : 'primary'} disabled={!isReady || isBusy}>
            {isBusy ? 'Please wait…' : submit}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
