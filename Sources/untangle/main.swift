import UntangleCommands

UntangleMain.run()
